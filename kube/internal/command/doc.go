// Package command is the command line of towpath-kube: it reads flags and the configuration file, calls the packages that do
// the work, and turns their results into output and exit codes.
//
// Exit codes: 0 success, 1 the work could not be done, 2 the command line is wrong.
package command
