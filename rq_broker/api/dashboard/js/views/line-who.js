// Whose jobs the person at the page sees.
import { session } from "../api.js";

// Whether every owner's jobs are listed: then a list may begin at any place.
export const seesAll = () => !session.current?.owners;
