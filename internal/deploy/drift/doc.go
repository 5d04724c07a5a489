// Package drift compares a live object with the manifest that it was deployed from.
//
// It owns the rules of the comparison and nothing else: it reads no cluster and keeps no
// state. Only fields that the manifest sets count; what the API server adds, defaults or
// writes in another way is no drift, nor is what the platform itself moves (tracks and the
// swap of routed Services) or what an autoscaler decides. Elements that somebody added to a
// list of named elements, such as one more variable of a container, are not the manifest's,
// and server-side apply would leave them too.
//
// Nouns: Field (the path of a difference, without values).
//
// Invariants: nothing returned holds a value of an object; an object compared with itself
// has no drift.
//
// It must not import other packages of deploy but route.
package drift
