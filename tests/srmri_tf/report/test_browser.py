"""The pages in a real browser: what a reader does, and what must not happen."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from srmri_tf.evaluation.config import EvaluateConfig
from srmri_tf.evaluation.measuring import evaluate
from srmri_tf.models.card import shipped_card
from srmri_tf.report.page import report
from srmri_tf.report.scan_pages import ScanPages
from tests.data_prep.phantoms import phantom, save
from tests.srmri_tf.enhance.test_files import super_resolve, use
from tests.srmri_tf.enhance.test_volume import fake
from tests.srmri_tf.evaluation.test_measuring import make_run
from tests.srmri_tf.report.test_scan_pages import brighter

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
def evaluation_page(shards, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [make_run(folder / "net"), make_run(folder / "cheat", train=["s4"])]
    evaluate(runs, shards, folder / "eval", EvaluateConfig(slices="2", force=True))
    return report(folder / "eval")


@pytest.fixture(scope="module")
def scan_page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    scan = save(folder / "scan_FLAIR.nii.gz", phantom((40, 36, 9)).astype(np.int16))
    network = dataclasses.replace(fake(brighter), card=shipped_card("cpce-t2-x2"))
    with pytest.MonkeyPatch.context() as patch:
        use(network, patch)
        (result,) = super_resolve([scan], folder / "out")
    return ScanPages().add(result)


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


@pytest.fixture(params=["evaluation_page", "scan_page"])
def browser(driver, request):
    """Each page, just opened."""
    driver.get(request.getfixturevalue(request.param).as_uri())
    return driver


@pytest.fixture
def evaluation(driver, evaluation_page):
    driver.get(evaluation_page.as_uri())
    return driver


def shown(browser):
    """The numbers of the slices that can be seen."""
    return browser.execute_script(
        "return [...document.querySelectorAll('article')].map((a, i) => a.offsetParent ? i : -1)"
        ".filter(i => i >= 0)"
    )


def test_arrow_keys_buttons_and_slider_choose_the_slice(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    (first,) = shown(browser)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.ARROW_RIGHT)
    assert shown(browser) == [first + 1]
    assert f"{first + 2} of " in browser.find_element(By.TAG_NAME, "output").text
    browser.find_element(By.CSS_SELECTOR, ".previous").click()
    assert shown(browser) == [first]
    slider = browser.find_element(By.CSS_SELECTOR, "input.slice")
    slider.send_keys(Keys.END)
    count = len(browser.find_elements(By.TAG_NAME, "article"))
    assert shown(browser) == [count - 1]
    body.send_keys(Keys.ARROW_RIGHT)  # there is no further one
    assert shown(browser) == [count - 1]
    assert slider.get_attribute("aria-valuetext")


def test_brightness_and_contrast_change_the_grey_pictures_only(browser):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def window():
        return browser.execute_script(
            "const f = document.querySelector('#window feFuncG');"
            "return [f, f].map((e, i) => Number(e.getAttribute(['slope', 'intercept'][i])))"
        )

    assert window() == [1, 0]
    browser.find_element(By.CSS_SELECTOR, "input.level").send_keys(Keys.END)
    assert window() == [1, 0.5]
    browser.find_element(By.CSS_SELECTOR, "input.width").send_keys(Keys.END)
    assert window() == [4, 0.5]  # the middle of the window is at zero
    browser.find_element(By.CSS_SELECTOR, ".reset").click()
    assert window() == [1, 0]
    filtered = browser.execute_script(
        "return [...document.querySelectorAll('use')].map(u => [u.getAttribute('href')[1],"
        " getComputedStyle(u).filter !== 'none'])"
    )
    assert {kind for kind, is_filtered in filtered if is_filtered} == {"s"}
    assert {kind for kind, is_filtered in filtered if not is_filtered} == {"e", "k"}


def test_the_picture_comes_first_and_the_sections_stay_in_reach(browser):
    top = browser.execute_script(
        "return document.querySelector('article.shown svg').getBoundingClientRect().top"
    )
    assert top < 600
    browser.execute_script("window.scrollTo(0, 10000)")
    place = browser.execute_script(
        "return document.querySelector('nav').getBoundingClientRect().top"
    )
    assert abs(place) <= 1


def test_it_prints_one_slice_and_no_controls(browser):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    seen = browser.execute_script(
        "return ['nav', '.controls', 'article.shown', 'table']"
        ".map(s => document.querySelector(s).getClientRects().length > 0)"
    )
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert seen == [False, False, True, True]
    assert paper == "rgb(255, 255, 255)"


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
    assert len(sizes) >= 12
    assert min(sizes) > 10
    dangling = browser.execute_script(
        "return [...document.querySelectorAll('use')]"
        ".filter(u => !document.querySelector(u.getAttribute('href'))).length"
    )
    assert dangling == 0


def test_pictures_are_drawn_with_a_size(browser):
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('article.shown svg')].map(s => s.clientWidth)"
    )
    assert boxes
    assert min(boxes) > 50


def test_the_slider_moves_by_keyboard_and_the_sides_change(evaluation):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    compare = evaluation.find_element(By.CSS_SELECTOR, ".compare")
    clip = compare.find_element(By.CSS_SELECTOR, "clipPath rect")
    before = float(clip.get_attribute("x"))
    compare.find_element(By.CSS_SELECTOR, "input").send_keys(Keys.ARROW_RIGHT * 10)
    after = float(clip.get_attribute("x"))
    assert after > before
    assert float(compare.find_element(By.CSS_SELECTOR, ".divider").get_attribute("x1")) == after
    right = compare.find_element(By.CSS_SELECTOR, "select.right")
    right.find_elements(By.TAG_NAME, "option")[-1].click()
    shown = compare.find_element(By.CSS_SELECTOR, ".after").get_attribute("href")
    last = evaluation.execute_script(
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
            const texts = "p, td, th, dd, h2, a, .note, .why, .leak, .better, .worse";
            const ratios = [...document.querySelectorAll(texts)]
              .map(e => light(getComputedStyle(e).color))
              .map(ink => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05));
            return Math.min(...ratios);
            """
        )
        assert ratio >= 4.5, scheme


def test_the_page_fits_a_narrow_screen(browser):
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    overflow, *widths = browser.execute_script(
        "return [document.documentElement.scrollWidth - document.documentElement.clientWidth,"
        "...[...document.querySelectorAll('article.shown svg')].map(s => s.clientWidth)]"
    )
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert overflow <= 0
    assert min(widths) > 100


def test_leaks_are_marked_wherever_the_run_is_shown(evaluation):
    text = evaluation.execute_script("return document.body.innerText")
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
