// Package demo runs the whole loop on this machine as a user would: it starts Towpath
// with the built programs, pushes the sample, follows the run, and asks the product
// itself for the evidence of every step. `make demo` is this package.
//
// It drives the command line and plain git and HTTP only, so that what it shows is what
// anybody gets. It must not import a domain.
package demo
