package value_test

import (
	"math"
	"testing"
	"time"

	"towpath.dev/towpath/internal/monitor/kql/value"
	"towpath.dev/towpath/internal/monitor/table"
)

// Every day of four centuries, against the standard library.
func TestCivilAgreesWithTheStandardLibrary(t *testing.T) {
	for day := time.Date(1599, 12, 25, 13, 14, 15, 1600, time.UTC); day.Year() < 2005; day = day.AddDate(0, 0, 1) {
		ticks := table.TicksOf(day)
		c := value.CivilOf(ticks)
		y, m, d := day.Date()
		if c.Year != y || c.Month != int(m) || c.Day != d || c.Hour != 13 || c.Minute != 14 || c.Second != 15 || c.Fraction != 16 {
			t.Fatalf("%s is taken apart as %+v", day, c)
		}
		if back, ok := c.Ticks(); !ok || back != ticks {
			t.Fatalf("%s is put together as %d, want %d", day, back, ticks)
		}
		if value.WeekDay(ticks) != int(day.Weekday()) || c.YearDay() != day.YearDay() {
			t.Fatalf("%s: weekday %d, day of the year %d", day, value.WeekDay(ticks), c.YearDay())
		}
	}
}

func TestReal(t *testing.T) {
	for f, want := range map[float64]string{
		1: "1.0", 0: "0.0", -2.5: "-2.5", 1e14: "100000000000000.0", 1e15: "1E+15", 1e20: "1E+20", 0.0001: "0.0001", 0.00001: "1E-05",
		123456789.125: "123456789.125", math.Inf(1): "Infinity", 1.0 / 3: "0.3333333333333333",
	} {
		if got := value.Real(f); got != want {
			t.Errorf("%g is written %s, want %s", f, got, want)
		}
	}
}

func TestBagKeepsOrderAndFindsMany(t *testing.T) {
	b := &value.Bag{}
	for i := range 100 {
		b.Set(string(rune('a'+i%26))+string(rune('A'+i/26)), int64(i))
	}
	b.Set("aA", "again")
	if k, v := b.At(0); k != "aA" || v != "again" || b.Len() != 100 {
		t.Errorf("the first entry is %s: %v of %d", k, v, b.Len())
	}
	if v, ok := b.Get("vD"); !ok || v != int64(99) {
		t.Errorf("the last entry is %v, %v", v, ok)
	}
}

func FuzzDateTime(f *testing.F) {
	for _, s := range []string{"2014-05-25T08:20:03.123456Z", "Sat, 8 Nov 14 15:05:02 GMT", "11/08/2014 3:05 PM", "0001-01-01", "9999-12-31 23:59:59.9999999", "Nov 8, 2014", "2014-W01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := value.ParseDateTime(s)
		if !ok {
			return
		}
		if v < 0 || int64(v) > value.MaxDateTime {
			t.Fatalf("%q is read as %d, out of range", s, v)
		}
		if back, ok := value.ParseDateTime(value.FormatDateTime(int64(v))); !ok || back != v {
			t.Fatalf("%q is read as %d, written, and read as %d", s, v, back)
		}
	})
}

func FuzzTimeSpan(f *testing.F) {
	for _, s := range []string{"1.02:03:04.5", "-00:00:00.0000001", "1.5h", "7", "100ms", "10675199.02:48:05.4775807"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := value.ParseTimeSpan(s)
		if !ok {
			return
		}
		if back, ok := value.ParseTimeSpan(value.FormatTimeSpan(int64(v))); !ok || back != v {
			t.Fatalf("%q is read as %d, written %s, and read as %d", s, v, value.FormatTimeSpan(int64(v)), back)
		}
	})
}

func FuzzDynamic(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,"x\u00e9\n",null,true]}`, `"\ud83d\ude00"`, `[[[[]]]]`, `-0`, `1e400`, `{"a":1,"a":2}`, `"\ud800"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, ok := value.ParseJSON(s)
		if !ok {
			return
		}
		text := value.JSON(v)
		back, ok := value.ParseJSON(text)
		if !ok {
			t.Fatalf("%q is written %s, which is not read", s, text)
		}
		if again := value.JSON(back); again != text {
			t.Fatalf("%q is written %s, then %s", s, text, again)
		}
	})
}
