package secret_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"towpath.dev/towpath/internal/source/secret"
)

// privateKey returns a fresh key in PEM and in DER.
func privateKey(t testing.TB) (text string, der []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), der
}

// random is text of n characters that nobody chose.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)[:n]
}

func inUTF16(s string, order binary.AppendByteOrder, mark string) string {
	out := []byte(mark)
	for _, u := range utf16.Encode([]rune(s)) {
		out = order.AppendUint16(out, u)
	}
	return string(out)
}

// TestOwnRules has for each of our rules a file in which it finds something and one in
// which it does not.
func TestOwnRules(t *testing.T) {
	key, der := privateKey(t)
	twp := "twp_" + strings.ToLower(rand.Text() + rand.Text())[:32]
	pass := "S3" + random(14)
	long := base64.StdEncoding.EncodeToString([]byte(random(64)))[:86]
	basic := base64.StdEncoding.EncodeToString([]byte("robot:" + pass))
	java := "\xfe\xed\xfe\xed\x00\x00\x00\x02\x00\x00\x00\x01"
	pfx := "\x30\x82\x00\x40\x02\x01\x03\x30\x3b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01" + strings.Repeat("\x00x", 25)
	tests := []struct {
		rule, path, yes, no string
	}{
		{"private-key", "a.txt", key, "-----BEGIN PUBLIC KEY-----\n" + random(80) + "\n-----END PUBLIC KEY-----\n"},
		{"private-key", "a.json", `{"key": "` + strings.ReplaceAll(key, "\n", `\n`) + `"}`, `{"key": "-----BEGIN PRIVATE KEY-----"}`},
		{"private-key", "a.dat", "MZ\x00\x00" + key, "MZ\x00\x00" + "-----BEGIN CERTIFICATE-----"},
		{"private-key", "a.ps1", inUTF16("$k = '"+key+"'", binary.LittleEndian, "\xff\xfe"), inUTF16("hello there", binary.LittleEndian, "\xff\xfe")},
		{"private-key", "b.ps1", inUTF16("$k = '"+key+"'", binary.BigEndian, "\xfe\xff"), inUTF16("hello there", binary.BigEndian, "\xfe\xff")},
		{"key-file", "a.der", string(der), string(der[:20])},
		{"key-file", "a.p12", pfx, "\x30\x82\x00\x40\x02\x01\x02\x30" + strings.Repeat("\x00x", 30)},
		{"key-file", "a.jks", java + "\x00\x00\x00\x01" + strings.Repeat("\x00", 20), java + "\x00\x00\x00\x02" + strings.Repeat("\x00", 20)},
		{"towpath-token", "ci.sh", "export T=" + twp + "\n", "export T=twp_short\n"},
		{"azure-storage-key", "a.config", "AccountName=x;AccountKey=" + long + "==;EndpointSuffix=core", "AccountKey=$(key)"},
		{"azure-shared-access-key", "a.config", "SharedAccessKeyName=x;SharedAccessKey=" + long[:43] + "=", "SharedAccessKey=..."},
		{"azure-devops-token", "a.txt", "pat " + long[:76] + "AZDO" + "abcd ", "AZDO abcd"},
		{"base64-private-key", "kubeconfig", "    client-key-data: " + base64.StdEncoding.EncodeToString([]byte(key)), "    certificate-authority-data: " + base64.StdEncoding.EncodeToString([]byte("-----BEGIN CERTIFICATE-----\n"+random(200)))},
		{"putty-private-key", "a.ppk", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\nPublic-Lines: 1\nAAAA\nPrivate-Lines: 1\n" + long + "\nPrivate-MAC: 00\n", "PuTTY-User-Key-File-3: ssh-ed25519\nPublic-Lines: 1\n"},
		{"netrc-password", ".netrc", "machine git.example.com\n  login ada\n  password " + pass + "\n", "machine git.example.com login ada\n"},
		{"npmrc-credential", "web/.npmrc", "//registry.example/:_authToken=" + pass + "\n", "//registry.example/:_authToken=${NPM_TOKEN}\n"},
		{"pgpass-password", ".pgpass", "db.example:5432:*:app:" + pass + "\n", "# host:5432:db:user:password\n"},
		{"git-credentials-password", ".git-credentials", "https://ada:" + pass + "@git.example.com\n", "https://git.example.com/a@b\n"},
		{"docker-config-credential", "home/.docker/config.json", `{"auths": {"r.example": {"auth": "` + basic + `"}}}`, `{"auths": {"r.example": {"auth": ""}}}`},
	}
	e := engine(t)
	for _, tt := range tests {
		t.Run(tt.rule+" "+tt.path, func(t *testing.T) {
			for _, path := range []string{tt.path, ""} {
				found := e.Scan(path, []byte(tt.yes))
				if len(found) != 1 || found[0].Rule != tt.rule {
					t.Errorf("with the path %q: %+v", path, found)
				}
				if found := e.Scan(path, []byte(tt.no)); len(found) != 0 {
					t.Errorf("with the path %q, wrongly: %+v", path, found)
				}
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	a, b := "ghp"+"_"+random(36), "ghp"+"_"+random(36)
	data := "first\r\nsecond " + a + "\n\n\tthird=" + b + "; " + a
	found := engine(t).Scan("a.txt", []byte(data))
	var got []string
	for _, f := range found {
		if data[f.Offset:f.Offset+len(string(f.Secret))] != string(f.Secret) {
			t.Errorf("the offset %d is not the secret's", f.Offset)
		}
		got = append(got, fmt.Sprintf("%d:%d", f.Line, f.Column))
	}
	if want := "2:8 4:8 4:50"; strings.Join(got, " ") != want {
		t.Errorf("places %v, want %s", got, want)
	}
}

// TestGrowsWithTheName is what push protection relies on: without a name at least as
// much is found as with any.
func TestGrowsWithTheName(t *testing.T) {
	e := engine(t)
	for i, s := range samples(t) {
		if i%10 != 0 && s.Path == "" {
			continue
		}
		for _, path := range []string{s.Path, "a.php", "main.tf", "x.yaml", "nuget.config", "node_modules/a.js"} {
			all := map[string]bool{}
			for _, f := range e.Scan("", []byte(s.Text)) {
				all[string(f.Secret)] = true
			}
			for _, f := range e.Scan(path, []byte(s.Text)) {
				if !all[string(f.Secret)] {
					covered := false
					for k := range all {
						covered = covered || strings.Contains(k, string(f.Secret)) || strings.Contains(string(f.Secret), k)
					}
					if !covered {
						t.Fatalf("%s is found in %q only with the path %s", f.Rule, s.Text, path)
					}
				}
			}
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	token := "ghp" + "_" + random(36)
	found := engine(t).Scan("a.txt", []byte("x = "+token))
	if len(found) != 1 {
		t.Fatalf("found %d", len(found))
	}
	f := found[0]
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("found", "f", f, "secret", f.Secret)
	shown := fmt.Sprintf("%v %+v %#v %s %q %x", f, f, f, f.Secret, f.Secret, f.Secret) + string(text) + log.String() + f.Redacted
	if strings.Contains(shown, token[8:]) || strings.Contains(shown, hex.EncodeToString([]byte(token[8:]))) {
		t.Errorf("it shows: %s", shown)
	}
	if want := "ghp_… (40 characters)"; f.Redacted != want {
		t.Errorf("redacted %q, want %q", f.Redacted, want)
	}
}

func TestCanonicalForm(t *testing.T) {
	key, _ := privateKey(t)
	e := engine(t)
	forms := []string{key, "a:\n  " + strings.ReplaceAll(key, "\n", "\n  "), `{"k": "` + strings.ReplaceAll(key, "\n", `\n`) + `"}`, strings.ReplaceAll(key, "\n", "\r\n")}
	want := ""
	for _, form := range forms {
		found := e.Scan("", []byte(form))
		if len(found) != 1 {
			t.Fatalf("%d findings in %.60q", len(found), form)
		}
		if got := found[0].Secret.Canonical(); want == "" {
			want = got
		} else if got != want {
			t.Errorf("another canonical form in %.60q", form)
		}
	}
}

// TestCostIsBounded feeds inputs that are nothing but keywords, operators and half
// credentials: of 256 KiB each, for which a quadratic engine would need minutes.
func TestCostIsBounded(t *testing.T) {
	e := engine(t)
	for _, unit := range []string{
		"key", "key=", "token: ", "secret\n", "api_key = \"abc123\" ", "-----BEGIN PRIVATE KEY-----\n", "eyJ", "ey.", "s.", "curl ", "curl -u a:b\n",
		"kind: secret\n", "kind: Secret data: ", "://a:b", "machine a login ", "ghp_", "LS0tLS1CRUdJTi", "AKIA", "password=x1y2z3a4b5c6d7 ", "facebook 123456789012345|", "\"auth\": \"", "sk-ant-api03-", "-----BEGIN ",
		"PuTTY-User-Key-File-2: ", "sourcegraph 0123456789abcdef0123456789abcdef01234567 ",
	} {
		data := []byte(strings.Repeat(unit, 256<<10/len(unit)))
		start := time.Now()
		n := len(e.Scan("", data))
		t.Logf("%-30q %s", unit, time.Since(start).Round(time.Millisecond))
		if n > secret.MaxFindings {
			t.Errorf("%q: %d findings", unit, n)
		}
	}
}

func FuzzScan(f *testing.F) {
	e := engine(f)
	for i, s := range samples(f) {
		if i%20 == 0 {
			f.Add(s.Path, []byte(s.Text))
		}
	}
	f.Fuzz(func(t *testing.T, path string, data []byte) {
		for _, x := range e.Scan(path, data) {
			if x.Offset < 0 || x.Line < 1 || x.Column < 1 || x.Rule == "" || x.Title == "" || len(x.Secret) == 0 {
				t.Errorf("%+v", x)
			}
			if len(x.Secret) > 12 && strings.Contains(x.Redacted, string(x.Secret)) {
				t.Errorf("the redacted form %q is the secret", x.Redacted)
			}
		}
	})
}
