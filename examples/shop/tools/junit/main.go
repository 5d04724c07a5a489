// Command junit turns the output of go test -json into a JUnit XML file and a readable log:
//
//	go test -json ./... | go run ./tools/junit -o junit.xml
//
// It exits with 1 if a test failed or no test ran, and with 2 if it could not do its work; so a pipe through it fails as go test would.
package main

import (
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("o", "junit.xml", "the JUnit file to write; its folder is made")
	flag.Parse()
	os.Exit(run(os.Stdin, os.Stdout, os.Stderr, *out))
}

// run is main without the process around it; it returns the exit code.
func run(in io.Reader, log, complaints io.Writer, path string) int {
	found, err := read(in, log)
	if err != nil {
		fmt.Fprintln(complaints, "junit:", err)
		return 2
	}
	doc := found.document()
	if err := write(path, doc); err != nil {
		fmt.Fprintln(complaints, "junit:", err)
		return 2
	}
	fmt.Fprintf(log, "%d tests, %d failed, %d skipped → %s\n", doc.Tests, doc.Failures, doc.Skipped, path)
	switch {
	case doc.Tests == 0:
		fmt.Fprintln(complaints, "junit: no test ran; is the input that of go test -json?")
		return 1
	case doc.Failures > 0:
		return 1
	default:
		return 0
	}
}

// write stores the document at path.
func write(path string, doc xmlRun) error {
	body, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the results: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	if err := os.WriteFile(path, append([]byte(xml.Header), append(body, '\n')...), 0o644); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	return nil
}
