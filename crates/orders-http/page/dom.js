// Small helpers for the page's elements.

export const $ = (id) => document.getElementById(id);

/** An element with properties and children; text is only ever text. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) {
      made.addEventListener(key.slice(2), value);
    } else if (value !== undefined) {
      made.setAttribute(key, value);
    }
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/**
 * Makes these the list's children, without touching those that stay: nothing is
 * drawn anew under anybody's hands.
 */
export function arrange(list, wanted) {
  const staying = new Set(wanted);
  for (const child of [...list.children]) {
    if (!staying.has(child)) {
      child.remove();
    }
  }
  let next = list.firstElementChild;
  for (const one of wanted) {
    if (one === next) {
      next = next.nextElementSibling;
    } else {
      list.insertBefore(one, next);
    }
  }
}

/** Runs `draw` at most once a frame, however often it is asked for. */
export function drawing(draw) {
  let isDue = false;
  return () => {
    if (!isDue) {
      isDue = true;
      requestAnimationFrame(() => {
        isDue = false;
        draw();
      });
    }
  };
}

export const time = (text) => new Date(text).toLocaleTimeString();
