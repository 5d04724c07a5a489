// Package virtual answers the tables Perf, InsightsMetrics and AppMetrics from the metric
// store: they look like tables of the Kusto query language and are series. Kept as rows
// they would be most of what Container insights stores.
//
// Nouns. A counter of Perf is a PromQL expression that is evaluated at every full minute; so
// is a metric of InsightsMetrics. A row of AppMetrics is what a service pushed of a metric
// in one minute.
//
// Invariants. Rows of a project are made of its series only. What belongs to no project,
// such as nodes, is seen by those who may see everything. Values and instances are named as
// the service names them (the reference pages "Perf" and "InsightsMetrics"), so that
// Perf.InstanceName is KubePodInventory's ClusterId and ContainerName joined by a slash.
//
// It imports packages metric, query and table.
package virtual
