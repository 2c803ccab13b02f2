// Tells when there may be something new: by the server's stream, which also speaks up every ten
// seconds for what is not in the tables, or where it cannot be had, by the clock. `onState` hears
// whether the server is there.
const AGAIN_MS = 2000;
const SILENT_MS = 30000;

export function listen(address, onNews, onState) {
  let stream = null;
  let silence = 0;

  function heard() {
    clearTimeout(silence);
    silence = setTimeout(again, SILENT_MS);
    onState(true);
  }

  function again() {
    stream.close();
    clearTimeout(silence);
    onState(false);
    setTimeout(open, AGAIN_MS);
  }

  function open() {
    stream = new EventSource(address);
    stream.onopen = heard;
    for (const kind of ["as_of", "alive"]) {
      stream.addEventListener(kind, () => {
        heard();
        onNews();
      });
    }
    stream.onerror = () => {
      if (stream.readyState !== EventSource.CLOSED) return onState(false);
      // An answer that is no stream: too many listen, or nobody is signed in. The page will tell.
      onNews();
      setTimeout(open, AGAIN_MS);
    };
  }

  addEventListener("offline", () => onState(false));
  addEventListener("online", () => again());
  open();
}
