// Package scenario runs the scripts of testdata/script on the built programs: a real
// server on a data folder of its own, the real command line, the real git, a real
// registry client. Each script tells one story of a person with Towpath, a good day or
// a bad one; stories whose name starts with "attacker-" are attacks that must fail.
//
// The programs are taken from the folder that TOWPATH_BIN names, ../../bin by default;
// nothing is built here. Scripts are in the language of testscript, with these verbs:
//
//	server start [FLAG…]     start towpath serve on $DATA; the first start makes the identities
//	server stop              SIGTERM, and exit code 0
//	server kill              SIGKILL, as a power cut would
//	as NAME VERB…            run one verb as admin, user, reader, attacker, wrong or nobody
//	towpath ARG…             the command line
//	git ARG…                 git with the credentials of the identity
//	exit N COMMAND…          run a command that must end with exit code N
//	http [FLAG…] METHOD PATH STATUS
//	json FILE PATH VALUE     compare one value of a JSON document
//	setjson NAME FILE PATH   take one value of a JSON document into the environment
//	setstdout NAME           take the last output into the environment
//	validjson FILE           exactly one JSON document
//	commands                 walk through the help of every command
//	random FILE BYTES        bytes that do not compress
//	wait-run N RESULT        wait until a run has ended so
//	wait-event TYPE TEXT     wait until the logbook has such an event with the text in it
//	wait-text FILE TEXT      wait until a file, or a run's log (run:N), holds the text
//	wait-file PATTERN        wait until a file exists; wait-no-process does the opposite for processes
//	image push|pull REF      a real registry client
//	resume FILE UPLOAD       send the rest of an upload that was cut off
//	stall start N            a way to the server that stops after N bytes; stall wait
//	sqlite STATEMENT         change the database behind the back of the stopped server
//	subst FILE…              put variables of the environment in for @NAME@
//	tmpfs DIR SIZE           mount a small disk
//	now                      set NOW to the last second, for @NOW@000000000 in files
//	otlp SIGNAL FILE STATUS  export telemetry to the project shop as an SDK does
//	pack [-zeros N] FILE     compress a file
//	wait-output REGEXP ARG…  repeat towpath ARG… until it prints that
//	lake kill                SIGKILL for the log and trace engine
//	sink start FILE          a server that notifications may go to; sink answer STATUS
//
// An identity "user" may write in the project shop, "reader" may read, "attacker" has no
// role anywhere, "wrong" comes with a token that nobody made and "nobody" without any.
//
// Beside the scripts there are tests in Go of what takes a load and many kills.
//
// It must not import any part of the product, the bucket for tests (blob/s3test) excepted:
// what a script needs, the programs offer.
package scenario
