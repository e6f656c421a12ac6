// Says the values where the pointer is, or where the arrow keys have brought the line.
'use strict';
for (const figure of document.querySelectorAll('figure.chart')) {
  const script = figure.querySelector('script');
  if (!script) continue;
  const { x, places, ends, series } = JSON.parse(script.textContent);
  const svg = figure.querySelector('svg');
  const box = svg.viewBox.baseVal;
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  line.classList.add('at');
  line.setAttribute('y1', 34);
  line.setAttribute('y2', box.height - 34);
  const tip = document.createElement('div');
  tip.className = 'tip';
  tip.setAttribute('role', 'status');
  let at = 0;

  const place = (value) =>
    places[0] + ((value - ends[0]) / (ends[1] - ends[0])) * (places[1] - places[0]);

  const nearest = (across) => {
    let low = 0;
    let high = x.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (place(x[middle]) <= across) low = middle;
      else high = middle;
    }
    return across - place(x[low]) <= place(x[high]) - across ? low : high;
  };

  const show = (index) => {
    at = Math.max(0, Math.min(x.length - 1, index));
    const across = place(x[at]);
    line.setAttribute('x1', across);
    line.setAttribute('x2', across);
    svg.append(line);
    tip.replaceChildren(`second ${Number(x[at].toFixed(2))}`);
    series.forEach(({ name, unit, values }, colour) => {
      const row = document.createElement('div');
      const dot = document.createElement('i');
      dot.style.background = `var(--s${colour % 6})`;
      const value = values[at];
      row.append(dot, `${name} ${value === null ? 'none' : value.toLocaleString('en')} ${unit}`);
      tip.append(row);
    });
    figure.append(tip);
    const left = (across / box.width) * svg.clientWidth;
    const over = left + tip.offsetWidth + 16 > svg.clientWidth;
    tip.style.left = `${over ? left - tip.offsetWidth - 10 : left + 10}px`;
  };
  const hide = () => {
    line.remove();
    tip.remove();
  };

  svg.addEventListener('pointermove', (event) => {
    const { left, width } = svg.getBoundingClientRect();
    show(nearest(((event.clientX - left) / width) * box.width));
  });
  svg.addEventListener('pointerleave', hide);
  svg.addEventListener('focus', () => show(at));
  svg.addEventListener('blur', hide);
  svg.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(at + step);
  });
}
