// Package storetest gives each test a database of its own, on every engine that the
// product supports. It is for tests only.
//
// SQLite runs always, in the test's temporary folder. PostgreSQL runs when the
// environment variable TOWPATH_TEST_POSTGRES holds the URL of a server on which databases
// may be made; `go run ./internal/store/storetest/pgrun -- go test ./…` starts one.
package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // The driver "pgx".

	"towpath.dev/towpath/internal/store"
)

// Env is the environment variable with the URL of the PostgreSQL server.
const Env = "TOWPATH_TEST_POSTGRES"

// Each runs test once for each engine, as a subtest, with an empty, migrated database
// that is removed afterwards.
func Each(t *testing.T, test func(t *testing.T, db *store.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		test(t, open(t, filepath.Join(t.TempDir(), "towpath.db")))
	})
	if server := os.Getenv(Env); server != "" {
		t.Run("postgres", func(t *testing.T) {
			test(t, open(t, Postgres(t, server)))
		})
	}
}

// SQLite returns an empty, migrated SQLite database, for tests in which the engine is of
// no matter.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "towpath.db"))
}

// Template is the name of a migrated database that pgrun leaves on its server, so that a
// test copies it instead of migrating its own.
const Template = "towpath_template"

// Postgres makes an empty database on the server and returns its URL.
func Postgres(t testing.TB, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("parsing %s: %v", Env, err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if hasTemplate(t, server) {
		admin(t, server, "CREATE DATABASE "+name+" TEMPLATE "+Template)
	} else {
		admin(t, server, "CREATE DATABASE "+name)
	}
	t.Cleanup(func() { admin(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

func hasTemplate(t testing.TB, server string) bool {
	t.Helper()
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatalf("opening PostgreSQL: %v", err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRow(`SELECT COUNT(*) FROM pg_database WHERE datname = $1`, Template).Scan(&n); err != nil {
		t.Fatalf("looking for the template: %v", err)
	}
	return n == 1
}

func admin(t testing.TB, server, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatalf("opening PostgreSQL: %v", err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func open(t testing.TB, dsn string) *store.DB {
	t.Helper()
	db, err := store.Open(context.Background(), dsn)
	if err != nil {
		t.Fatalf("opening the database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("closing the database: %v", err)
		}
	})
	return db
}
