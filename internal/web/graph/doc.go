// Package graph lays out who calls whom: a directed graph in layers from left to right, so
// that callers stand left of what they call.
//
// Nouns. A node is a number from 0, an Edge leads from one to another. A Layout has the
// place of every node and the way of every edge.
//
// Invariants. The layout depends on its input only: the same graph is drawn the same way
// each time, and nodes keep the order of their numbers where nothing else speaks. No two
// nodes overlap. Edges that close a ring run from right to left.
//
// It is Sugiyama's method (Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of
// Hierarchical System Structures", IEEE SMC 1981): layers by the longest way, long edges
// through places of their own, order in a layer by the mean of the neighbours. It imports
// the standard library only and knows nothing of pages.
package graph
