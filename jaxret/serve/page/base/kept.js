// Choices that stay in this browser; where it refuses to keep them (private windows) they last as long as the page.

const here = new Map();

export function kept(name) {
  if (here.has(name)) return here.get(name);
  try {
    return localStorage.getItem(`jaxret.${name}`);
  } catch {
    return null;
  }
}

export function keep(name, value) {
  here.set(name, value);
  try {
    localStorage.setItem(`jaxret.${name}`, value);
  } catch {
    // kept here alone
  }
}
