// What every component uses of Preact and htm, which are vendored as one module.
export {
  Component, html, render, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState,
} from "../vendor/htm-preact-standalone.module.js";
