"""The report in a real browser: what a reader does, and what must not happen."""

import json
import shutil

import pytest

from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.report.page import report
from tests.srmri_tf.evaluation.test_measuring import make_run

pytestmark = pytest.mark.browser
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,1000",
)


@pytest.fixture(scope="module")
def page(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [make_run(folder / "net"), make_run(folder / "cheat", train=["s4"])]
    evaluate(runs, shards, folder / "eval", EvaluateConfig(slices="2", force=True))
    return report(folder / "eval")


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    driver.get(page.as_uri())
    yield driver
    driver.quit()


def test_every_picture_loads(browser):
    sizes = browser.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        const images = [...document.querySelectorAll("image")];
        Promise.all(images.map(async image => {
          const probe = new Image();
          probe.src = image.getAttribute("href");
          await probe.decode();
          return probe.naturalWidth;
        })).then(done, error => done(String(error)));
        """
    )
    assert len(sizes) > 20
    assert min(sizes) > 10
    dangling = browser.execute_script(
        "return [...document.querySelectorAll('use')]"
        ".filter(u => !document.querySelector(u.getAttribute('href'))).length"
    )
    assert dangling == 0


def test_pictures_are_drawn_with_a_size(browser):
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('.method svg')].map(s => s.clientWidth)"
    )
    assert boxes
    assert min(boxes) > 50


def test_the_slider_moves_by_keyboard_and_the_sides_change(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    compare = browser.find_element(By.CSS_SELECTOR, ".compare")
    clip = compare.find_element(By.CSS_SELECTOR, "clipPath rect")
    before = float(clip.get_attribute("x"))
    compare.find_element(By.CSS_SELECTOR, "input").send_keys(Keys.ARROW_RIGHT * 10)
    after = float(clip.get_attribute("x"))
    assert after > before
    assert float(compare.find_element(By.CSS_SELECTOR, ".divider").get_attribute("x1")) == after
    right = compare.find_element(By.CSS_SELECTOR, "select.right")
    right.find_elements(By.TAG_NAME, "option")[-1].click()
    shown = compare.find_element(By.CSS_SELECTOR, ".after").get_attribute("href")
    last = browser.execute_script(
        "return document.querySelector('.compare select.right').options.length - 1"
    )
    assert shown in (f"#s0-{last}", {"baseVal": f"#s0-{last}", "animVal": f"#s0-{last}"})


def test_everything_has_a_name_and_can_be_reached(browser):
    nameless = browser.execute_script(
        """
        const named = e => e.getAttribute("aria-label") || e.closest("label") || e.labels?.length;
        return [...document.querySelectorAll("svg[role=img], input, select")]
          .filter(e => !named(e)).length
        """
    )
    assert nameless == 0
    assert browser.execute_script("return document.documentElement.lang") == "en"


def test_text_has_contrast_in_light_and_dark(browser):
    for scheme in ("light", "dark"):
        browser.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": scheme}]},
        )
        ratio = browser.execute_script(
            """
            const light = colour => {
              const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map(v => {
                const c = v / 255;
                return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
              });
              return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const paper = light(getComputedStyle(document.body).backgroundColor);
            const ratios = [...document.querySelectorAll("p, td, th, h2, a, .note, .why, .leak")]
              .map(e => light(getComputedStyle(e).color))
              .map(ink => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
            return Math.min(...ratios);
            """
        )
        assert ratio >= 4.5, scheme


def test_the_page_fits_a_narrow_screen(browser):
    browser.set_window_size(500, 900)
    overflow = browser.execute_script(
        "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    browser.set_window_size(1300, 1000)
    assert overflow <= 0


def test_leaks_are_marked_wherever_the_run_is_shown(browser):
    text = browser.execute_script("return document.body.innerText")
    assert "cheat (LEAK)" in text
    assert "LEAK: cheat" in text


def test_no_error_and_no_request_leaves_the_file(browser):
    assert [entry["message"] for entry in browser.get_log("browser")] == []
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    addresses = {
        message["params"]["request"]["url"].partition(":")[0]
        for message in sent
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["documentURL"].startswith("file:")  # not the browser's own start page
    }
    assert addresses <= {"file", "data"}
    assert "file" in addresses
