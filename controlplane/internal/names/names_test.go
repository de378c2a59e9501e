package names

import "testing"

func TestNames(t *testing.T) {
	check := map[string]func(string) error{
		"MAC":  CheckMAC,
		"sum":  func(text string) error { return CheckSum("sha256", text) },
		"word": func(text string) error { return CheckWord("layer", text) },
	}
	for _, each := range []struct {
		kind, text string
		good       bool
	}{
		{"MAC", "52-54-00-aa-bb-cc", true},
		{"MAC", "52:54:00:aa:bb:cc", false},
		{"MAC", "52-54-00-AA-BB-CC", false},
		{"MAC", "52-54-00-aa-bb-cc/..", false},
		{"sum", SumOf(nil), true},
		{"sum", SumOf(nil)[1:], false},
		{"sum", "", false},
		{"word", "base-1.2.squashfs", true},
		{"word", "..", false},
		{"word", ".hidden", false},
		{"word", "a/b", false},
		{"word", "a b", false},
		{"word", "", false},
	} {
		if err := check[each.kind](each.text); (err == nil) != each.good {
			t.Errorf("%s %q: %v", each.kind, each.text, err)
		}
	}
}
