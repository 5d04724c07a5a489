package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/identity"
	"towpath.dev/towpath/internal/store"
)

// lock takes the data folder for this process: two servers on one folder would undo
// each other's work. The file holds the server's process id, for `towpath down`.
func lock(data string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Join(data, "run"), 0o700); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The data folder %s cannot be made.", data)
	}
	path := PIDFile(data)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The data folder %s cannot be written to.", data)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(path)
		return nil, errors.Join(fault.Wrap(fault.Conflict, err, "Another Towpath server (process %s) uses the data folder %s.",
			strings.TrimSpace(string(pid)), data).WithNext("stop it with `towpath down --data %s`", data), f.Close())
	}
	err = errors.Join(f.Truncate(0), func() error { _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); return err }())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", path, err), f.Close())
	}
	return f, nil
}

// PIDFile is the path of the file that a running server holds locked.
func PIDFile(data string) string { return filepath.Join(data, "run", "towpath.pid") }

// openStore opens PostgreSQL or the data folder's SQLite file.
func openStore(ctx context.Context, cfg Config) (*store.DB, error) {
	dsn := cfg.Database
	if dsn == "" {
		dsn = filepath.Join(cfg.Data, "towpath.db")
	}
	db, err := store.Open(ctx, dsn)
	if err != nil {
		next := "check that the disk has room and that the folder belongs to this user"
		if cfg.Database != "" {
			next = "check that PostgreSQL answers at the address given with --database"
		}
		return nil, fault.Wrap(fault.Unavailable, err, "The database cannot be opened: %v.", err).WithNext("%s", next)
	}
	return db, nil
}

// AdminUser is the first user, an administrator of the installation.
const AdminUser = "admin"

// admin makes the first user and gives it its token: the one in the file named by the
// configuration, or one made at the first start and kept in Data/admin-token.
func (a *App) admin(ctx context.Context) error {
	sys := identity.SystemActor("app")
	users, err := a.Identity.Users(ctx, sys)
	if err != nil {
		return err
	}
	if len(users) == 0 {
		password := randomWord(18)
		if err := os.WriteFile(filepath.Join(a.cfg.Data, "admin-password"), []byte(password+"\n"), 0o600); err != nil {
			return fault.Wrap(fault.Invalid, err, "The first password cannot be written to %s.", a.cfg.Data)
		}
		if _, err := a.Identity.CreateUser(ctx, sys, AdminUser, password, true); err != nil {
			return err
		}
	}
	path := a.cfg.AdminTokenFile
	if path == "" {
		path = filepath.Join(a.cfg.Data, "admin-token")
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(path, []byte("twp_"+randomWord(40)+"\n"), 0o600); err != nil {
				return fault.Wrap(fault.Invalid, err, "The administrator's token cannot be written to %s.", path)
			}
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "The administrator's token cannot be read from %s.", path)
	}
	return a.Identity.AdoptToken(ctx, AdminUser, strings.TrimSpace(string(b)))
}

// who answers for every edge: nobody is no error, wrong credentials are.
func (a *App) who(r *http.Request) (identity.Actor, error) {
	return a.Identity.Authenticate(r.Context(), identity.FromRequest(r))
}

// hostOf is the host of a URL.
func hostOf(url string) string {
	_, host, _ := strings.Cut(url, "://")
	return host
}

// loopback is the address at which this host's own programs reach the listener.
func loopback(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
