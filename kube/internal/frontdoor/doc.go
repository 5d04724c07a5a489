// Package frontdoor is the cluster's HTTP ingress: it serves what Ingress objects of the class "towpath" say, straight to the
// pods behind the Services they name.
//
// Nouns: a Table is the routes of one moment, made from Ingresses, Services and EndpointSlices and replaced as a whole when one
// of them changes; a Route leads from host and path to the endpoints of one Service port.
//
// Invariants: a request is served by one Table from its beginning to its end; a request is sent to a second endpoint only when
// the first cannot have seen it, or when doing it twice is harmless and nothing was answered yet; nothing from an Ingress or a
// request is put into a page unescaped.
//
// Must not import any other package of this module but bootstrap (names of the class) and config.
package frontdoor
