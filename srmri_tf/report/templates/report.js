"use strict";
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
