// Package bind gives a text of the Kusto query language its meaning: it resolves names
// against a catalogue, finds the type of every expression and the schema of every
// operator as the service does, and makes the tree of package ir from it.
//
// Nouns. A Catalog knows the tables and the views. A view is a name for a text of KQL. A
// Function is a signature: the one table of them is Functions.
//
// Invariants. What is bound means in Kusto what the tree says; what is not supported is
// refused by name with its place, never bound to something similar. Automatic column names
// and types are Kusto's (checked by package oracle). The tree holds no let, user function
// or view. Binding is bounded: the tree that inlining makes has at most MaxNodes nodes.
//
// It imports packages syntax, ir and table.
package bind
