// Command towpath-nft stands before the real nft program and gives the kube-proxy that calls it a table of its own.
//
// The name of kube-proxy's table is a constant upstream, so two clusters on one host would take each other's rules away. Put
// as "nft" into kube-proxy's PATH, this program renames that one table on the way in (arguments and script) and back on the
// way out (JSON listings). Everything else passes unchanged. TOWPATH_NFT is the path of the real program, TOWPATH_NFT_TABLE the
// name of the table to use instead.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	err := run(os.Getenv("TOWPATH_NFT"), os.Getenv("TOWPATH_NFT_TABLE"))
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "towpath-nft:", err)
		os.Exit(1)
	}
}

func run(nft, table string) error {
	if nft == "" || table == "" {
		return errors.New("TOWPATH_NFT and TOWPATH_NFT_TABLE must be set")
	}
	args, script := os.Args[1:], false
	for i, arg := range args {
		if arg == upstreamTable {
			args[i] = table
		}
		script = script || arg == "-"
	}
	cmd := exec.Command(nft, args...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, os.Stderr
	if script {
		reader, writer := io.Pipe()
		cmd.Stdin = reader
		go func() { writer.CloseWithError(renameScript(writer, bufio.NewReader(os.Stdin), table)) }()
	}
	err := cmd.Run()
	if _, writeErr := os.Stdout.Write(restoreNames(output.Bytes(), table)); err == nil {
		err = writeErr
	}
	return err
}
