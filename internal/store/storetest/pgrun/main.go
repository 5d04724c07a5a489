// Command pgrun runs a command beside a private PostgreSQL server:
//
//	go run ./internal/store/storetest/pgrun -- go test ./internal/store/...
//
// The server has a folder of its own that is removed at the end, listens on a Unix socket
// in it only, and is named to the command by TOWPATH_TEST_POSTGRES. The programs come from
// the folder in PGBIN, or the newest of /usr/lib/postgresql, or the search path. Started
// as root, the server runs as the user postgres (or nobody), because PostgreSQL refuses
// to run as root.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // The driver "pgx".

	"towpath.dev/towpath/internal/store"
)

// env and template are storetest.Env and storetest.Template; importing them would link the
// testing package into this program.
const (
	env      = "TOWPATH_TEST_POSTGRES"
	template = "towpath_template"
)

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "usage: pgrun -- COMMAND [ARGUMENT…]")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, args)
	stop()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode()))
	case err != nil:
		fmt.Fprintln(os.Stderr, "pgrun:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	bin, err := programs()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgrun-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	attr, err := account(dir)
	if err != nil {
		return err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	initdb.Dir, initdb.SysProcAttr, initdb.Env = dir, attr, []string{"PATH=" + bin + ":/usr/bin:/bin"}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("making the database cluster: %w\n%s", err, out)
	}
	stop, err := start(bin, dir, data, attr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()

	dsn := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/postgres", RawQuery: url.Values{"host": {dir}}.Encode()}
	if err := makeTemplate(ctx, dsn); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env+"="+dsn.String())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

// makeTemplate leaves a migrated database on the server, for tests to copy.
func makeTemplate(ctx context.Context, dsn url.URL) error {
	server, err := sql.Open("pgx", dsn.String())
	if err != nil {
		return fmt.Errorf("making the template: %w", err)
	}
	_, err = server.ExecContext(ctx, "CREATE DATABASE "+template)
	if err := errors.Join(err, server.Close()); err != nil {
		return fmt.Errorf("making the template: %w", err)
	}
	dsn.Path = "/" + template
	db, err := store.Open(ctx, dsn.String())
	if err != nil {
		return fmt.Errorf("making the template: %w", err)
	}
	return db.Close()
}

// start runs the server and waits until its socket answers.
func start(bin, dir, data string, attr *syscall.SysProcAttr) (stop func() error, err error) {
	// fsync is off: the data is thrown away anyway.
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200")
	server.Dir, server.SysProcAttr, server.Env = dir, attr, []string{"PATH=" + bin + ":/usr/bin:/bin"}
	var log strings.Builder
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("starting PostgreSQL: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			return nil, fmt.Errorf("starting PostgreSQL: it ended: %w\n%s", err, log.String())
		default:
		}
		ready := exec.Command(filepath.Join(bin, "pg_isready"), "-h", dir, "-q")
		if ready.Run() == nil {
			return func() error {
				// SIGINT is PostgreSQL's fast shutdown.
				if err := server.Process.Signal(syscall.SIGINT); err != nil {
					return fmt.Errorf("stopping PostgreSQL: %w", err)
				}
				if err := <-ended; err != nil {
					return fmt.Errorf("stopping PostgreSQL: %w", err)
				}
				return nil
			}, nil
		}
	}
	killed := server.Process.Kill()
	return nil, errors.Join(errors.New("starting PostgreSQL: it did not answer within 30 s\n"+log.String()), killed, <-ended)
}

// programs finds the folder with initdb and postgres.
func programs() (string, error) {
	if dir := os.Getenv("PGBIN"); dir != "" {
		return dir, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		version := func(p string) int {
			n, err := strconv.Atoi(strings.Split(p, "/")[4])
			if err != nil {
				return 0
			}
			return n
		}
		slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(found[len(found)-1]), nil
	}
	p, err := exec.LookPath("initdb")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed (apt-get install postgresql, or set PGBIN to the folder with initdb): %w", err)
	}
	return filepath.Dir(p), nil
}

// account returns how to start the server without root's rights, and gives it the folder.
func account(dir string) (*syscall.SysProcAttr, error) {
	// A group of its own: Ctrl-C reaches this program, which stops the server in order.
	attr := &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() != 0 {
		return attr, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("finding a user for PostgreSQL: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("reading the user %s: %w", u.Username, err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, fmt.Errorf("giving the folder to %s: %w", u.Username, err)
	}
	attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return attr, nil
}
