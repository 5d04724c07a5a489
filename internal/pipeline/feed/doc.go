// Package feed reads what lies outside of the installation: packages of npm and NuGet
// registries, and what builds of Jenkins have archived. It finds the newest version and
// fetches one, with limits on everything that comes in, and never lets what opens a server
// travel to another one.
//
// It must not import anything of the product but fault: the pipeline service and the agent
// both use it.
package feed
