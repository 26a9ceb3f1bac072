// What a figure shows where the reader points: the nearest point's name and value. With the
// keyboard: Tab to a figure, left and right along a line, up and down to another, Escape to leave.
"use strict";
for (const picture of document.querySelectorAll("picture.drawn")) {
  const image = picture.querySelector("img");
  const told = JSON.parse(picture.querySelector("script").textContent);
  const phone = matchMedia("(max-width: 640px)");
  const lines = () => told[phone.matches ? "narrow" : "wide"].filter((line) => line.points.length);
  if (!lines().length) continue;

  const mark = document.createElement("span");
  const words = document.createElement("span");
  mark.className = "mark";
  words.className = "words";
  words.setAttribute("role", "status");
  picture.append(mark, words);
  picture.tabIndex = 0;
  picture.setAttribute("role", "group");
  picture.setAttribute("aria-label", "Figure with values: arrow keys go from point to point");
  let line = 0;
  let place = 0;

  function show() {
    const { name, title, points } = lines()[line];
    const [left, top, text] = points[place];
    const [x, y] = [(left * image.clientWidth) / 1000, (top * image.clientHeight) / 1000];
    mark.style.transform = `translate(${x}px, ${y}px)`;
    words.replaceChildren(Object.assign(document.createElement("b"), { textContent: name }));
    for (const more of [title, text].filter((more) => more && more !== name)) {
      words.append(document.createElement("br"), more);
    }
    picture.classList.add("shown");
    // Beside the point, and never over the edge of the picture.
    const room = picture.clientWidth - words.offsetWidth;
    const beside = x + 12 > room ? x - 12 - words.offsetWidth : x + 12;
    const above = y - words.offsetHeight - 8;
    words.style.transform = `translate(${Math.max(0, Math.min(beside, room))}px, ${above}px)`;
  }

  const hide = () => picture.classList.remove("shown");

  picture.addEventListener("pointermove", (event) => {
    const box = image.getBoundingClientRect();
    let nearest = 40 ** 2; // beyond so many pixels, the reader points at nothing
    let found = false;
    lines().forEach(({ points }, l) =>
      points.forEach(([left, top], p) => {
        const x = box.left + (left * box.width) / 1000 - event.clientX;
        const y = box.top + (top * box.height) / 1000 - event.clientY;
        if (x * x + y * y >= nearest) return;
        [nearest, line, place, found] = [x * x + y * y, l, p, true];
      }),
    );
    if (found) show();
    else hide();
  });
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("blur", hide);
  phone.addEventListener("change", () => {
    [line, place] = [0, 0];
    hide();
  });
  picture.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    if (event.key === "Escape") hide();
    if (!(event.key in move) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    // The first key shows where one is.
    if (picture.classList.contains("shown")) {
      const all = lines();
      const [across, along] = move[event.key];
      line = (line + across + all.length) % all.length;
      place = Math.max(0, Math.min(place + along, all[line].points.length - 1));
    }
    show();
  });
}
