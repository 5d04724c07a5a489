// Package web is the storefront: it asks catalog, pricing and cart, and shows their answers as a page or as JSON.
//
// Nouns: Page (everything that one view shows), Shop (the handler). Invariants: a page names the build of every service that
// answered; without catalog or pricing there is no page (502), without cart there is one with an empty cart and a notice.
package web
