// Command picture makes the pictures that the documents show, light and dark, from the pages
// themselves, by headless Chromium: the one of the README over the data of the pages' tests,
// those of the tour from the installation that `make demo` leaves up.
//
//	go run ./scripts/picture
//	go run ./scripts/picture -tour build/demo.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"towpath.dev/towpath/internal/web"
	"towpath.dev/towpath/internal/web/browser"
	"towpath.dev/towpath/internal/web/webtest"
)

// The size of a picture in pixels.
const (
	width  = 1440
	height = 900
)

// patience is how long a picture may take.
const patience = 4 * time.Minute

func main() {
	dir := flag.String("dir", filepath.Join("docs", "pictures"), "folder to write into")
	at := flag.String("at", "/projects/shop?open=42", "address of the page")
	name := flag.String("name", "path", "beginning of the names of the files")
	demo := flag.String("tour", "", "report of a demonstration that is up: make the pictures of the tour from it")
	password := flag.String("password-file", "/var/lib/towpath-demo/admin-password", "with -tour: the password of its first user")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	do := func() error { return run(ctx, *at, filepath.Join(*dir, *name)) }
	if *demo != "" {
		do = func() error { return tour(ctx, *demo, *password, *dir) }
	}
	if err := do(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run writes the pictures of one page to files that begin with path.
func run(ctx context.Context, at, path string) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	url, stop, err := serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	return look(ctx, func(b *browser.Browser) error {
		p, err := b.Open(ctx, width, height)
		if err != nil {
			return err
		}
		if err := signIn(ctx, p, url, "ada", webtest.Password); err != nil {
			return err
		}
		for _, scheme := range []string{"light", "dark"} {
			file := path + "-" + scheme + ".png"
			if err := take(ctx, p, url+at, scheme, file); err != nil {
				return fmt.Errorf("making %s: %w", file, err)
			}
			fmt.Println(file)
		}
		return nil
	})
}

// serve serves the pages over the fixture on a port of its own.
func serve(ctx context.Context) (url string, stop func() error, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	f := webtest.New()
	f.Tidy = true
	d := f.Deps()
	d.Logger = slog.New(slog.DiscardHandler)
	url = "http://" + l.Addr().String()
	pages, api := web.New(d, web.Options{PublicURL: url, Version: "v0.1.0"}), f.API()
	srv := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, "/prometheus/") {
			api.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	return url, func() error {
		err := srv.Close()
		if ended := <-done; !errors.Is(ended, http.ErrServerClosed) {
			err = errors.Join(err, ended)
		}
		return err
	}, nil
}

// signIn signs a user in by the form.
func signIn(ctx context.Context, p *browser.Page, url, user, password string) error {
	if err := p.Go(ctx, url+"/login"); err != nil {
		return err
	}
	for _, field := range []struct{ name, text string }{{"user", user}, {"password", password}} {
		if err := p.Eval(ctx, `document.querySelector("[name=`+field.name+`]").focus()`, nil); err != nil {
			return err
		}
		if err := p.Type(ctx, field.text); err != nil {
			return err
		}
	}
	if err := p.Press(ctx, "Enter", false); err != nil {
		return err
	}
	return p.Until(ctx, `location.pathname === "/projects" && document.readyState === "complete"`)
}

// take writes a picture of a page that is complete and live.
func take(ctx context.Context, p *browser.Page, url, scheme, file string) error {
	if err := p.Scheme(ctx, scheme); err != nil {
		return err
	}
	if err := p.Go(ctx, url); err != nil {
		return err
	}
	if err := p.Until(ctx, `!document.querySelector("[data-live-mark]") || document.querySelector("[data-live-mark]").dataset.on === "true"`); err != nil {
		return err
	}
	// Fonts are there and what moves stands still, so that the same page gives the same picture.
	still := `document.fonts.ready.then(() => { const s = new CSSStyleSheet(); s.replaceSync("*, *::before, *::after { animation: none !important; transition: none !important; caret-color: transparent !important }"); document.adoptedStyleSheets = [s]; return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true)))); })`
	if err := p.Eval(ctx, still, nil); err != nil {
		return err
	}
	png, err := p.Screenshot(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(file, png, 0o644)
}
