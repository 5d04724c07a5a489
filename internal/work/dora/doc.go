// Package dora computes the four numbers of DORA from the platform's own events, by
// GitLab's formulas.
//
// Nouns. A Deployment is a release that an environment got and kept. A Change is one push
// to a default branch; its lead is the time from its commit to the first deployment that
// holds it. An Incident is an item that the engine of signals opened about a release of
// the environment; one that was reopened is a new incident of the same item.
//
// Formulas. Deployment frequency is deployments per day, by the time at which they ended.
// Lead time for changes is the median of the leads of the changes that arrived. Change
// failure rate is incidents that were opened per deployment. Time to restore is the median
// of how long the incidents that were closed had been open.
//
// Invariants.
//   - The tables dora_* are a projection: dropped with their cursor, the log fills them
//     again. Handling an event twice changes nothing.
//   - Each number has a list of what it is made of.
//
// It imports the kernel.
package dora
