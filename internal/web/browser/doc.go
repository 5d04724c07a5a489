// Package browser drives a headless Chromium, for tests that look at the pages as people
// do. It speaks the Chrome DevTools Protocol over a pipe (--remote-debugging-pipe), so
// that no port is open and nothing but the browser itself is needed.
//
// A Browser is one process with a profile of its own; a Page is one tab. It imports the
// standard library only and is used by tests alone.
package browser
