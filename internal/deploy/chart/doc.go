// Package chart finds Helm charts by their names: in chart repositories (an index.yaml over
// HTTP) and in OCI registries, and puts charts into registries.
//
// Its nouns: a Want is what a pipeline asks for (a reference, a version or a range, an address
// to look at); a Repository is an address that was given a name, as `helm repo add` does; a
// Login is what opens a registry, as `helm registry login` keeps it; a Chart is an archive that
// was fetched, with what it is by digest.
//
// Nothing is kept here: Repositories and Logins are read from and written to the two files that
// Helm itself has for them, and those belong to the job. No file, environment variable or
// credential of this machine is looked at. Connections are made by the transport that is given,
// which decides where one may go; credentials go to the host that they were given for, and to
// no other. Every answer is bounded, and an archive whose digest is not the promised one is an
// error.
//
// It imports the kernel only, and knows no cluster.
package chart
