package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var files embed.FS

// assets serves the style, the scripts and the icon. Their addresses hold a hash of the
// content, so that browsers may keep them for ever.
type assets struct {
	content map[string][]byte
	hash    map[string]string
}

func openAssets() *assets {
	a := &assets{content: map[string][]byte{}, hash: map[string]string{}}
	_ = fs.WalkDir(files, "assets", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(p)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		name := strings.TrimPrefix(p, "assets/")
		a.content[name], a.hash[name] = b, hex.EncodeToString(sum[:6])
		return nil
	}) // An embedded file system has no errors.
	return a
}

// url is the address of an asset.
func (a *assets) url(name string) string { return "/assets/" + a.hash[name] + "/" + name }

// ServeHTTP answers with an asset.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	b, ok := a.content[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.PathValue("hash") == a.hash[name] {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	} else { // A page from before an update asks: it gets what there is now, once.
		w.Header().Set("Cache-Control", "no-store")
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	_, _ = w.Write(b) // The client may have left.
}
