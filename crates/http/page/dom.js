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
