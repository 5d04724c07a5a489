package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// leaveKey is Ctrl-], which leaves a terminal as it leaves telnet's.
const leaveKey = 0x1d

// keepFlag adds --keep-on-failure, whose value is optional.
func keepFlag(f *pflag.FlagSet, into *string) {
	f.StringVar(into, "keep-on-failure", "", "leave jobs that fail as they are for so long, to look around in them with `towpath run attach`")
	f.Lookup("keep-on-failure").NoOptDefVal = "default"
}

// keepSeconds is what the API is told of --keep-on-failure.
func keepSeconds(text string) (int, error) {
	switch text {
	case "":
		return 0, nil
	case "default":
		return -1, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second {
		return 0, fault.New(fault.Invalid, "%q is no time for which a job is kept.", text).WithNext("write --keep-on-failure, or with a time: --keep-on-failure=30m")
	}
	return int(d.Seconds()), nil
}

// attachRun opens a terminal in a kept job.
func (e *env) attachRun() *cobra.Command {
	return &cobra.Command{
		Use: "attach RUN [JOB]", Short: "Open a terminal in a failed job that is kept", Args: cobra.RangeArgs(1, 2),
		Long: "Opens a shell where the job failed: on its agent, as the user of its steps, in the folder and with the environment of the\n" +
			"step that failed, in the same container. A job is kept when its run was started with --keep-on-failure. Who opens a\n" +
			"terminal stands in the logbook. Ctrl-] leaves; the job stays kept until it is released or its time is over.\n\n" +
			"When the input is no terminal it is typed as it is, followed by exit, and the command fails when the shell does.",
		Example: "  towpath run rerun 7 --failed --keep-on-failure=1h\n  towpath run attach 7\n  towpath run attach 7 Build.Test\n  echo 'cat report.txt' | towpath run attach 7",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := runNumber(args[0])
			if err != nil {
				return err
			}
			q := url.Values{}
			if len(args) > 1 {
				q.Set("job", args[1])
			}
			terminal := e.stdinTerminal()
			if terminal != nil {
				if columns, rows, err := term.GetSize(int(terminal.Fd())); err == nil {
					q.Set("columns", strconv.Itoa(columns))
					q.Set("rows", strconv.Itoa(rows))
				}
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			conn, err := client.Upgrade(c.Context(), fmt.Sprintf("/runs/%d/terminal?%s", n, q.Encode()), protocol.UpgradeTerminal)
			if err != nil {
				return err
			}
			defer conn.Close()
			stop := context.AfterFunc(c.Context(), func() { _ = conn.Close() })
			defer stop()
			return e.attached(protocol.NewFrames(conn), conn, terminal)
		},
	}
}

// attached joins this program's input and output with a terminal until one of them ends.
func (e *env) attached(frames *protocol.Frames, conn io.Closer, terminal *os.File) error {
	left := make(chan struct{})
	if terminal == nil {
		go func() {
			// A word, because a Ctrl-D that comes while a command runs is none for the shell.
			if typeInto(frames, e.in, false) {
				_ = frames.Write(protocol.FrameData, []byte("\nexit\n"))
			}
		}()
	} else {
		fmt.Fprintln(e.err, "Ctrl-] leaves the terminal; the job stays kept.")
		before, err := term.MakeRaw(int(terminal.Fd()))
		if err != nil {
			return fmt.Errorf("preparing the terminal: %w", err)
		}
		defer func() { _ = term.Restore(int(terminal.Fd()), before) }()
		stop := followSize(frames, terminal)
		defer stop()
		go func() {
			defer close(left)
			typeInto(frames, terminal, true)
			_ = conn.Close()
		}()
	}
	end, err := showAll(frames, e.out)
	select {
	case <-left:
		return nil
	default:
	}
	switch {
	case err != nil:
		return fault.Wrap(fault.Unavailable, err, "The connection to the terminal broke off.").WithNext("attach again; what ran in the terminal has ended")
	case end.Why != "":
		return fault.New(fault.Conflict, "The terminal was closed. %s", end.Why)
	case end.Code != 0 && terminal == nil:
		return fault.New(fault.Conflict, "The shell exited with code %d.", end.Code)
	}
	return nil
}

// typeInto types what is read until its end, which is true, until it cannot, or until the key
// to leave.
func typeInto(frames *protocol.Frames, from io.Reader, keys bool) bool {
	buf := make([]byte, protocol.MaxFrame)
	for {
		n, err := from.Read(buf)
		for i := range n {
			if keys && buf[i] == leaveKey {
				_ = frames.Write(protocol.FrameData, buf[:i])
				return false
			}
		}
		if n > 0 && frames.Write(protocol.FrameData, buf[:n]) != nil {
			return false
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// showAll prints what comes until the end that the other side tells.
func showAll(frames *protocol.Frames, to io.Writer) (protocol.End, error) {
	var end protocol.End
	for {
		kind, payload, err := frames.Read()
		if err != nil {
			return end, err
		}
		switch kind {
		case protocol.FrameData:
			if _, err := to.Write(payload); err != nil {
				return end, err
			}
		case protocol.FrameEnd:
			return end, json.Unmarshal(payload, &end)
		}
	}
}

// followSize passes on how large the terminal is whenever that changes.
func followSize(frames *protocol.Frames, terminal *os.File) (stop func()) {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-changed:
			}
			columns, rows, err := term.GetSize(int(terminal.Fd()))
			if err != nil || frames.WriteJSON(protocol.FrameResize, protocol.Size{Columns: uint16(columns), Rows: uint16(rows)}) != nil {
				return
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		close(over)
	}
}

// releaseRun lets a kept job go.
func (e *env) releaseRun() *cobra.Command {
	return &cobra.Command{
		Use: "release RUN [JOB]", Short: "Let the agent of a kept job clear up", Args: cobra.RangeArgs(1, 2), Example: "  towpath run release 7 Build.Test",
		RunE: func(c *cobra.Command, args []string) error {
			n, err := runNumber(args[0])
			if err != nil {
				return err
			}
			in := map[string]string{}
			if len(args) > 1 {
				in["job"] = args[1]
			}
			client, err := e.client()
			if err != nil {
				return err
			}
			if err := client.Do(c.Context(), http.MethodPost, fmt.Sprintf("/runs/%d/release", n), in, nil); err != nil {
				return err
			}
			fmt.Fprintf(e.err, "the job of run %d is released\n", n)
			return nil
		},
	}
}
