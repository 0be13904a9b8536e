"use strict";
document.documentElement.classList.add("live");

// One slice at a time: a slider, two buttons, and the arrow keys wherever nothing else needs them.
for (const browser of document.querySelectorAll(".browser")) {
  const slices = [...browser.querySelectorAll("article")];
  const range = browser.querySelector("input.slice");
  const show = number => {
    range.value = number; // the browser keeps it within its ends
    slices.forEach((slice, i) => slice.classList.toggle("shown", i === Number(range.value)));
    const label = slices[range.value].dataset.label;
    range.setAttribute("aria-valuetext", label);
    browser.querySelector("output").textContent = `${Number(range.value) + 1} of ${slices.length}`;
  };
  const step = by => show(Number(range.value) + by);
  range.addEventListener("input", () => show(range.value));
  browser.querySelector(".previous").addEventListener("click", () => step(-1));
  browser.querySelector(".next").addEventListener("click", () => step(1));
  document.addEventListener("keydown", event => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const taken = event.target.closest("input, select, .scroll");
    if (!by || taken || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    step(by);
  });
  show(range.value);

  // Window and level of all grey pictures: intensity x becomes slope * x + intercept.
  const level = browser.querySelector(".level");
  const width = browser.querySelector(".width");
  const tone = () => {
    const slope = 4 ** (width.value / 100);
    const intercept = 0.5 - 0.5 * slope + (slope * level.value) / 200;
    for (const part of document.querySelectorAll("#window feComponentTransfer > *")) {
      part.setAttribute("slope", slope);
      part.setAttribute("intercept", intercept);
    }
  };
  level.addEventListener("input", tone);
  width.addEventListener("input", tone);
  browser.querySelector(".reset").addEventListener("click", () => {
    level.value = width.value = 0;
    tone();
  });
  tone();
}

for (const compare of document.querySelectorAll(".compare")) {
  const slice = compare.dataset.slice;
  const clip = compare.querySelector("clipPath rect");
  const divider = compare.querySelector(".divider");
  const range = compare.querySelector("input");
  const move = () => {
    const x = (range.value / 100) * compare.dataset.width;
    clip.setAttribute("x", x);
    divider.setAttribute("x1", x);
    divider.setAttribute("x2", x);
  };
  range.addEventListener("input", move);
  for (const [side, picture] of [["left", "before"], ["right", "after"]]) {
    const select = compare.querySelector(`select.${side}`);
    select.addEventListener("change", () => {
      compare.querySelector(`.${picture}`).setAttribute("href", `#s${slice}-${select.value}`);
    });
  }
  move();
}
