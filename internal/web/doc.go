// Package web is the face of Towpath in the browser: pages made by templ, htmx for what
// changes as one types, and server-sent events for what changes by itself.
//
// It turns requests into calls of the domains' services with the actor who signed in, and
// answers into pages (package page). Nouns. A page is an address that can be shared and
// needs the same permission as its API call, because both ask the same service. A region
// is a part of a page that is renewed in place when the project's logbook grows, the Path
// moves or a live object is judged anew. A notice is the sentence that a form leaves behind
// for the page that it leads to. A remark is what is said beside a line of a difference: a
// thread of people, or the annotation of a check.
//
// Invariants.
//   - No rules and no SQL: whether somebody may do something is the service's answer.
//   - A form is taken only from our own pages: SameSite cookie, Fetch Metadata, and a
//     token derived from the session.
//   - Nothing foreign becomes markup: templ escapes, and the security policy allows no
//     inline script or style at all.
//   - Whatever is wrong reaches a person as words, a next step and an error id; the cause
//     goes to the log under that id.
//   - Pages work without a script; a script makes them live and quick.
//
// It imports the domains' services' value types and the kernel; the services themselves it
// knows by the interfaces of ports.go. No domain imports it.
package web
