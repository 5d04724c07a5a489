package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// upstreamTable is the table that kube-proxy knows.
const upstreamTable = "kube-proxy"

// renameScript copies an nft script line by line and replaces the upstream table's name where a line names its table: every
// line that kube-proxy writes is "<verb> <kind of object> <family> <table> …", or "<verb> <kind> <table>" without a family.
func renameScript(to io.Writer, from *bufio.Reader, table string) error {
	for {
		line, err := from.ReadBytes('\n')
		if _, writeErr := to.Write(renameLine(line, table)); writeErr != nil {
			return writeErr
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func renameLine(line []byte, table string) []byte {
	rest := line
	for word := range 4 {
		trimmed := bytes.TrimLeft(rest, " \t")
		end := bytes.IndexAny(trimmed, " \t\n")
		if end < 0 {
			end = len(trimmed)
		}
		if word >= 2 && string(trimmed[:end]) == upstreamTable {
			at := len(line) - len(trimmed)
			return bytes.Join([][]byte{line[:at], []byte(table), trimmed[end:]}, nil)
		}
		rest = trimmed[end:]
	}
	return line
}

// restoreNames gives the table its upstream name back in a JSON listing, where it stands as the table of an object and as the
// name of the table itself.
func restoreNames(listing []byte, table string) []byte {
	for _, key := range []string{`"table": "`, `"name": "`} {
		listing = bytes.ReplaceAll(listing, []byte(key+table+`"`), []byte(key+upstreamTable+`"`))
	}
	return listing
}
