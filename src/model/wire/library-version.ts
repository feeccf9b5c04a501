/**
 * The version of the library that runs: what an object says of itself. A test compares it with
 * `package.json`.
 */

export const LIBRARY_VERSION = "0.1.0";
