package gallery_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/gallery"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

const taskID = "3e1a1f7c-0c1b-4a57-8f4b-0d6f4a2b9c11"

// manifest is the task.json of a task Probe; more are further members.
func manifest(version int, more string) string {
	return fmt.Sprintf(`{"id": %q, "name": "Probe", "friendlyName": "Probe it", "version": {"Major": 1, "Minor": %d, "Patch": 0}, "execution": {"Node20_1": {"target": "index.js"}, "Node10": {"target": "index.js"}}%s}`,
		taskID, version, more)
}

// entry is a file of a zip.
type entry struct {
	name, text string
	mode       fs.FileMode
}

func pack(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.mode == 0 {
			e.mode = 0o644
		}
		h.SetMode(e.mode)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func probe(t *testing.T, version int, more string) []byte {
	return pack(t, entry{name: "task.json", text: manifest(version, more)}, entry{name: "index.js", text: "console.log('probe')"})
}

func TestReadAFolder(t *testing.T) {
	got, err := gallery.Read(probe(t, 4, `, "inputs": [
		{"name": "target", "aliases": ["to"], "type": "string", "label": "Target", "required": true, "visibleRule": "mode = remote || mode == both"},
		{"name": "count", "type": "int", "defaultValue": 3}, {"name": "deep", "type": "boolean", "defaultValue": true},
		{"name": "mode", "type": "pickList", "options": {"remote": "Remote", "both": "Both"}}],
		"prejobexecution": {"Node": {"target": "$(currentDirectory)\\index.js"}}, "minimumAgentVersion": "2.144.0",
		"restrictions": {"commands": {"mode": "restricted"}, "settableVariables": {"allowed": ["probe*"]}}`))
	if err != nil {
		t.Fatal(err)
	}
	m := got[0].Manifest
	want := &gallery.Manifest{
		ID: taskID, Name: "Probe", Major: 1, Minor: 4, Title: "Probe it", MinimumAgent: "2.144.0", Restricted: true, SettableRestricted: true, Settable: []string{"probe*"},
		Inputs: []gallery.Input{
			{Name: "target", Title: "Target", Type: "string", Aliases: []string{"to"}, Required: true, Visible: "mode = remote || mode == both"},
			{Name: "count", Type: "int", Default: "3"}, {Name: "deep", Type: "boolean", Default: "true"},
			{Name: "mode", Type: "pickList", Options: []string{"both", "remote"}},
		},
		Stages: map[string][]protocol.TaskHandler{
			protocol.StageMain: {{Name: "Node20_1", Node: 20, Target: "index.js"}, {Name: "Node10", Node: 10, Target: "index.js"}},
			protocol.StagePre:  {{Name: "Node", Node: 6, Target: "index.js"}},
		},
	}
	for i := range m.Inputs {
		if len(m.Inputs[i].Options) == 0 {
			m.Inputs[i].Options = nil
		}
	}
	if d := cmp.Diff(want, m); d != "" {
		t.Error(d)
	}
	if len(got) != 1 || got[0].Files != 2 || got[0].Extension != "" {
		t.Errorf("%d tasks, %d files, %q", len(got), got[0].Files, got[0].Extension)
	}
}

// A .vsix has several tasks, also several versions of one; a task.json within a task is
// none.
func TestReadAnExtension(t *testing.T) {
	second := strings.NewReplacer(`"Probe"`, `"Other"`, taskID, strings.Replace(taskID, "3e", "4e", 1)).Replace(manifest(0, ""))
	got, err := gallery.Read(pack(t,
		entry{name: "extension.vsixmanifest", text: `<?xml version="1.0"?><PackageManifest xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011"><Metadata><Identity Id="tools" Version="1.0.0" Publisher="acme"/></Metadata></PackageManifest>`},
		entry{name: "probe/v1/task.json", text: manifest(1, "")}, entry{name: "probe/v1/index.js"}, entry{name: "probe/v1/node_modules/x/task.json", text: "{}"},
		entry{name: "other/", mode: fs.ModeDir | 0o755}, entry{name: "other/task.json", text: "\ufeff" + second}, entry{name: "other/index.js", mode: 0o755},
	))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got {
		names = append(names, fmt.Sprintf("%s %s %d", p.Extension, p.Manifest.Reference(), p.Files))
	}
	if d := cmp.Diff([]string{"acme.tools Other@1 2", "acme.tools Probe@1 3"}, names); d != "" {
		t.Error(d)
	}
	again, err := gallery.Read(got[1].Archive)
	if err != nil || !bytes.Equal(again[0].Archive, got[1].Archive) {
		t.Errorf("a package is not its own package: %v", err)
	}
}

func TestRefusedZips(t *testing.T) {
	good := []entry{{name: "task.json", text: manifest(0, "")}, {name: "index.js"}}
	with := func(e ...entry) []byte { return pack(t, append(append([]entry{}, good...), e...)...) }
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"no zip":             {[]byte("PK no zip"), "neither the zip of a task"},
		"no task":            {pack(t, entry{name: "readme.md"}), "no task.json"},
		"dots":               {with(entry{name: "../evil.js"}), "outside of its folder"},
		"dots within":        {with(entry{name: "a/../../evil.js"}), "outside of its folder"},
		"absolute":           {with(entry{name: "/etc/passwd"}), "outside of its folder"},
		"windows":            {with(entry{name: `..\evil.js`}), "outside of its folder"},
		"drive":              {with(entry{name: "C:/evil.js"}), "outside of its folder"},
		"link":               {with(entry{name: "node_modules/x", text: "/etc/passwd", mode: fs.ModeSymlink | 0o777}), "link or a device"},
		"device":             {with(entry{name: "null", mode: fs.ModeDevice | 0o600}), "link or a device"},
		"twice":              {with(entry{name: "index.js"}), "twice"},
		"file and folder":    {with(entry{name: "index.js/evil"}), "as a file and as a folder"},
		"no JSON":            {pack(t, entry{name: "task.json", text: "{"}), "not the JSON of a task"},
		"no id":              {pack(t, entry{name: "task.json", text: `{"name":"X","version":{"Major":1,"Minor":0,"Patch":0}}`}), "no GUID"},
		"no version":         {pack(t, entry{name: "task.json", text: `{"id":"` + taskID + `","name":"X"}`}), "version in task.json is incomplete"},
		"a name that climbs": {pack(t, entry{name: "task.json", text: `{"id":"` + taskID + `","name":"../X"}`}), "cannot be that of a task"},
		"nothing to run":     {pack(t, entry{name: "task.json", text: `{"id":"` + taskID + `","name":"X","version":{"Major":1,"Minor":0,"Patch":0}}`}), "nothing to run"},
		"foreign handler": {pack(t, entry{name: "task.json", text: `{"id":"` + taskID + `","name":"X","version":{"Major":1,"Minor":0,"Patch":0},"execution":{"HttpRequest":{}}}`}),
			"only as HttpRequest (run by the service itself)"},
		"target elsewhere": {pack(t, entry{name: "task.json", text: strings.ReplaceAll(manifest(0, ""), "index.js", "../../bin/sh")}), "no file of its folder"},
		"not built":        {pack(t, entry{name: "task.json", text: manifest(0, "")}), "no file of its folder"},
		"same input twice": {pack(t, entry{name: "task.json", text: manifest(0, `, "inputs":[{"name":"a"},{"name":"A"}]`)}, entry{name: "index.js"}), "Two inputs"},
		"unknown mode":     {pack(t, entry{name: "task.json", text: manifest(0, `, "restrictions":{"commands":{"mode":"some"}}`)}, entry{name: "index.js"}), "restrictions.commands.mode"},
		"large file":       {with(entry{name: "zeros", text: strings.Repeat("\x00", 64<<20+1)}), "too large"},
	} {
		_, err := gallery.Read(c.data)
		if err == nil || fault.KindOf(err) == fault.Internal || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// FuzzRead looks for zips that make Read panic or keep something outside of its folder.
func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range map[string]string{"task.json": manifest(0, ""), "index.js": "x"} {
		e, err := w.Create(name)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := io.WriteString(e, text); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		packages, err := gallery.Read(data)
		if err != nil {
			return
		}
		for _, p := range packages {
			z, err := zip.NewReader(bytes.NewReader(p.Archive), int64(len(p.Archive)))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range z.File {
				if !fs.ValidPath(e.Name) || !e.Mode().IsRegular() {
					t.Fatalf("%q is kept", e.Name)
				}
			}
		}
	})
}
