// Command mkseed makes the file of built-in advisory facts from an OSV source:
//
//	go run ./internal/registry/supply/seed/mkseed -o internal/registry/supply/seed/go.json.gz SOURCE
//
// SOURCE is a directory, zip or URL in OSV form, such as golang/vulndb's data/osv.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"

	"towpath.dev/towpath/internal/registry/supply/advisory"
	"towpath.dev/towpath/internal/registry/supply/seed"
)

func main() {
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if *out == "" || flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: mkseed -o FILE SOURCE")
		os.Exit(2)
	}
	if err := run(context.Background(), *out, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "mkseed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out, source string) error {
	batch, err := advisory.Read(ctx, http.DefaultClient, source)
	if err != nil {
		return err
	}
	if batch.Rejected > 0 {
		return fmt.Errorf("%d entries are no advisories: %v", batch.Rejected, batch.Why)
	}
	var b bytes.Buffer
	if err := seed.Write(&b, batch.Records); err != nil {
		return err
	}
	fmt.Printf("%d advisories, %d bytes\n", len(batch.Records), b.Len())
	return os.WriteFile(out, b.Bytes(), 0o644)
}
