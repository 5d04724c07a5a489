package exec_test

import (
	"strings"
	"testing"
	"time"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/monitor/kql/bind"
	"towpath.dev/towpath/internal/monitor/kql/exec"
)

// TestWhatWouldTakeTooMuchIsRefusedBeforeItIsMade asks in a line for more memory than there
// is, or for more steps than a day has time for.
func TestWhatWouldTakeTooMuchIsRefusedBeforeItIsMade(t *testing.T) {
	const mega = `strrep("a",1000000)`
	for text, refused := range map[string]bool{
		`print replace_string(` + mega + `,"a",` + mega + `)`:                                                 true,
		`print replace_regex(` + mega + `,"a",` + mega + `)`:                                                  true,
		`print replace_regex(` + mega + `,"(a+)","` + strings.Repeat(`\\1`, 300) + `")`:                       true,
		`print replace_strings(` + mega + `,dynamic(["a"]),pack_array(` + mega + `))`:                         true,
		`print strcat_array(range(1,1000000,1),` + mega + `)`:                                                 true,
		`print x=` + mega + ` | extend x=strcat(x` + strings.Repeat(",x", 300) + `)`:                          true,
		`print x=` + mega + ` | extend x=strcat_delim(","` + strings.Repeat(",x", 300) + `)`:                  true,
		`range i from 1 to 500000 step 1 | extend x=strrep("abcdefgh",1024) | summarize make_list(x)`:         true,
		`range i from 1 to 500000 step 1 | extend x=strcat(i,strrep("a",1000)) | summarize make_set(x)`:       true,
		`print b=dynamic([1])` + strings.Repeat(` | extend b=pack_array(b,b)`, 60) + ` | project tostring(b)`: true,
		`print b=dynamic({"a":1})` + strings.Repeat(` | extend b=bag_pack("x",b,"y",b)`, 60):                  true,
		`print series_fir(range(1,1000000,1),range(1,1000000,1))`:                                             true,
		`print series_iir(range(1,1000000,1),range(1,1000000,1),dynamic([1]))`:                                true,
		`print strlen(replace_regex(` + mega + `,"a","bb"))`:                                                  false,
		`print indexof(` + mega + `,strcat(strrep("a",500000),"b"))`:                                          false,
		`print strlen(translate(unicode_codepoints_to_string(range(300,60000,1)),"b",` + mega + `))`:          false,
		`range i from 1 to 1000 step 1 | summarize make_list(i), make_set(i), make_bag(bag_pack("a",i))`:      false,
	} {
		q, errs := bind.Bind(text, bind.Standard())
		if len(errs) > 0 {
			t.Errorf("%.80s: %v", text, errs[0])
			continue
		}
		_, err := exec.Run(t.Context(), q.Rel, exec.Env{Now: time.Unix(0, 0), MaxBytes: 256 << 20})
		if fault.Is(err, fault.TooLarge) != refused || err != nil && !refused {
			t.Errorf("%.80s: %v", text, err)
		}
	}
}
