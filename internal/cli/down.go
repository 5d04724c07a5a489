package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"towpath.dev/towpath/internal/api"
	"towpath.dev/towpath/internal/api/client"
	"towpath.dev/towpath/internal/app"
	"towpath.dev/towpath/internal/fault"
)

// running returns the process id of the server that holds the data folder, 0 when
// none does.
func running(data string) int {
	f, err := os.Open(app.PIDFile(data))
	if err != nil {
		return 0
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0
	}
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0
	}
	return pid
}

func (e *env) down() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use: "down", Short: "Stop Towpath on this machine; everything is kept", Args: cobra.NoArgs, Example: "  towpath down",
		RunE: func(c *cobra.Command, _ []string) error {
			data, err := filepath.Abs(data)
			if err != nil {
				return err
			}
			pid := running(data)
			if pid == 0 {
				fmt.Fprintf(e.err, "Nothing runs on %s.\n", data)
				return nil
			}
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return fault.Wrap(fault.Denied, err, "Process %d cannot be stopped by this user.", pid)
			}
			fmt.Fprintf(e.err, "stopping process %d", pid)
			for i := 0; running(data) != 0; i++ {
				if i%10 == 9 {
					fmt.Fprint(e.err, ".")
				}
				select {
				case <-c.Context().Done():
					return c.Context().Err()
				case <-time.After(100 * time.Millisecond):
				}
			}
			fmt.Fprintln(e.err, " done")
			return nil
		},
	}
	c.Flags().StringVar(&data, "data", e.defaultData(), "folder of the installation")
	return c
}

func status(ctx context.Context, c *client.Client) (api.Status, error) {
	var s api.Status
	err := c.Get(ctx, "/status", nil, &s)
	return s, err
}
