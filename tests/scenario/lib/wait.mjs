// SPDX-License-Identifier: Apache-2.0
// Waiting on conditions. The only place of the scenarios that uses a timer: tests wait for what
// they need, and a limit turns a hang into a failure that says what was waited for.
export const LIMIT_MS = 30_000;
const POLL_MS = 5;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Calls `condition` until it returns something truthy, which is the result.
export async function until(what, condition, limitMs = LIMIT_MS) {
  const end = performance.now() + limitMs;
  let last;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      last = value;
    } catch (error) {
      if (error.fatal) throw error;
      last = error;
    }
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms for ${what}; last: ${last}`);
    await pause(POLL_MS);
  }
}

// The promise's value, or a failure that names what did not happen in time.
export async function within(what, promise, limitMs = LIMIT_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// The clock passes a moment by itself; a test that needs it waits for exactly that.
export const untilClock = (ms) => until(`the clock to pass ${new Date(ms).toISOString()}`, () => Date.now() > ms);
