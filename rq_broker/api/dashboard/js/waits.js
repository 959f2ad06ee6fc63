// Waiting, for a time or for something to be so.
export const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// Waits until something is so of a target that tells "change". Rejects where the signal aborts.
export function until(target, isSo, signal) {
  return new Promise((resolve, reject) => {
    function look() {
      if (signal?.aborted) reject(new DOMException("", "AbortError"));
      else if (isSo()) resolve();
      else return;
      target.removeEventListener("change", look);
      signal?.removeEventListener("abort", look);
    }
    target.addEventListener("change", look);
    signal?.addEventListener("abort", look);
    look();
  });
}
