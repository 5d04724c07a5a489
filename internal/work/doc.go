// Package work owns what is to be done: items, their backlog and sprints, the links from
// code to them, and the signals of the platform that become items and close them.
//
// Nouns. An Item is a bug, task, story or security matter; its State belongs to one
// Category (proposed, in-progress, resolved, completed, removed), and automation looks at
// categories only. The Backlog is one order over all items of a project. A Sprint has
// dates, a goal and a capacity in points. A Signal is what a part of the platform saw; its
// stable Key makes repeats count on one item.
//
// It imports the kernel; no other domain.
package work
