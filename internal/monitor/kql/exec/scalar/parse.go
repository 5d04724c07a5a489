package scalar

import (
	"encoding/csv"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/url"
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/monitor/kql/exec/vec"
	"towpath.dev/towpath/internal/monitor/kql/value"
)

func parseJSON(_ *Call, a []any) any {
	if s, ok := a[0].(string); ok {
		return vec.Parse(s)
	}
	return a[0]
}

func bagOf(pairs ...any) *value.Bag {
	b := &value.Bag{}
	for i := 0; i < len(pairs); i += 2 {
		b.Set(pairs[i].(string), pairs[i+1])
	}
	return b
}

// maxText bounds the texts that parse_xml takes, as the service does.
const maxText = 1 << 20

func parseURL(_ *Call, a []any) any {
	u, err := url.Parse(value.String(a[0]))
	if err != nil {
		return nil
	}
	password, _ := u.User.Password()
	path := u.Path
	if u.Host != "" {
		path = strings.TrimPrefix(path, "/")
	}
	if u.Opaque != "" {
		path = u.Opaque
	}
	return bagOf("Scheme", u.Scheme, "Host", u.Hostname(), "Port", u.Port(), "Path", path, "Username", u.User.Username(),
		"Password", password, "Query Parameters", queryBag(u.RawQuery), "Fragment", u.Fragment)
}

func parseQuery(_ *Call, a []any) any {
	return bagOf("Query Parameters", queryBag(strings.TrimPrefix(value.String(a[0]), "?")))
}

func queryBag(query string) *value.Bag {
	b := &value.Bag{}
	for _, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		b.Set(urlDecode(k), urlDecode(v))
	}
	return b
}

var (
	schemePattern = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]+)://`)
	drivePattern  = regexp.MustCompile(`^/?([A-Za-z]:)[/\\]`)
)

func parsePath(_ *Call, a []any) any {
	path, scheme, root, stream := value.String(a[0]), "", "", ""
	if m := schemePattern.FindStringSubmatch(path); m != nil {
		scheme, path = m[1], path[len(m[0]):]
	}
	if m := drivePattern.FindStringSubmatch(path); m != nil {
		root = m[1]
	}
	dir, file := "", path
	if i := strings.LastIndexAny(path, `/\`); i >= 0 {
		dir, file = path[:i], path[i+1:]
	}
	if i := strings.IndexByte(file, ':'); i >= 0 {
		file, stream = file[:i], file[i+1:]
	}
	name, extension := dir, ""
	if i := strings.LastIndexAny(dir, `/\`); i >= 0 {
		name = dir[i+1:]
	}
	if i := strings.LastIndexByte(file, '.'); i >= 0 {
		extension = file[i+1:]
	}
	return bagOf("Scheme", scheme, "RootPath", root, "DirectoryPath", dir, "DirectoryName", name, "Filename", file,
		"Extension", extension, "AlternateDataStreamName", stream)
}

func parseCSV(_ *Call, a []any) any {
	r := csv.NewReader(strings.NewReader(value.String(a[0])))
	r.LazyQuotes = true
	rec, err := r.Read()
	if err != nil && len(rec) == 0 {
		return nil
	}
	out := make([]any, len(rec))
	for i, f := range rec {
		out[i] = f
	}
	return out
}

// parseXML follows the table of the page of parse_xml.
func parseXML(_ *Call, a []any) any {
	s := value.String(a[0])
	if len(s) > maxText {
		return nil
	}
	d := xml.NewDecoder(strings.NewReader(s))
	for {
		t, err := d.Token()
		if err != nil {
			return nil
		}
		if start, ok := t.(xml.StartElement); ok {
			v, ok := element(d, start, 0)
			if !ok {
				return nil
			}
			return bagOf(start.Name.Local, v)
		}
	}
}

func element(d *xml.Decoder, start xml.StartElement, depth int) (any, bool) {
	b, text := &value.Bag{}, ""
	for _, at := range start.Attr {
		b.Set("@"+at.Name.Local, at.Value)
	}
	for depth < 100 {
		t, err := d.Token()
		if err != nil {
			return nil, false
		}
		switch t := t.(type) {
		case xml.CharData:
			text += string(t)
		case xml.StartElement:
			v, ok := element(d, t, depth+1)
			if !ok {
				return nil, false
			}
			addElement(b, t.Name.Local, v)
		case xml.EndElement:
			text = strings.TrimSpace(text)
			switch {
			case b.Len() == 0 && text == "":
				return nil, true
			case b.Len() == 0:
				return text, true
			case text != "":
				b.Set("#text", text)
			}
			return b, true
		}
	}
	return nil, false
}

// addElement makes an array of elements of one name.
func addElement(b *value.Bag, name string, v any) {
	old, ok := b.Get(name)
	switch list, many := old.([]any); {
	case !ok:
		b.Set(name, v)
	case many:
		b.Set(name, append(list, v))
	default:
		b.Set(name, []any{old, v})
	}
}

// parseCommandLine splits as Windows does: spaces part, quotes keep together.
func parseCommandLine(_ *Call, a []any) any {
	r := csv.NewReader(strings.NewReader(value.String(a[0])))
	r.Comma, r.LazyQuotes, r.TrimLeadingSpace = ' ', true, true
	rec, err := r.Read()
	if err != nil && err != io.EOF {
		return nil
	}
	out := []any{}
	for _, f := range rec {
		if f != "" {
			out = append(out, f)
		}
	}
	return out
}

var pathStep = regexp.MustCompile(`^(?:\.([A-Za-z_$@][\w$@-]*)|\[(\d+)\]|\[['"]([^'"]*)['"]\])`)

// extractJSON(path, json[, type]) with a path of members and indexes, `$.a[0]['b']`.
func extractJSON(c *Call, a []any) any {
	v := a[1]
	if s, ok := v.(string); ok {
		parsed, ok := value.ParseJSON(s)
		if !ok {
			return nil
		}
		v = parsed
	}
	path, ok := strings.CutPrefix(value.String(a[0]), "$")
	if !ok {
		return nil
	}
	for path != "" {
		m := pathStep.FindStringSubmatch(path)
		switch {
		case m == nil:
			return nil
		case m[2] != "":
			n, _ := value.ParseLong(m[2])
			v = member(v, n)
		default:
			v = member(v, m[1]+m[3])
		}
		path = path[len(m[0]):]
	}
	return value.To(v, c.Kind)
}

// guidBytes puts an identifier into the order that .NET has for its bytes.
func guidBytes(g value.GUID) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(string(g), "-", ""))
	if err != nil || len(b) != 16 {
		return nil
	}
	b[0], b[1], b[2], b[3] = b[3], b[2], b[1], b[0]
	b[4], b[5], b[6], b[7] = b[5], b[4], b[7], b[6]
	return b
}
