package sealpost.peer;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The templates of a close, compiled to what they write: UTF-8 bytes with holes. Of the template language there is
 * what sealpost's own templates use: {@code {{ x }}}, {@code {{ x or "y" }}}, if/else, and the loop over the lines.
 */
final class Templates {
    /** Values of a message by name; a missing one is empty. */
    interface Bill {
        byte[] value(String name);

        List<? extends Bill> lines();
    }

    private interface Node {
        void write(Bill bill, Bill line, AvroOut out);
    }

    private static final Pattern TAG = Pattern.compile(
        "\\{\\{\\s*(.*?)\\s*}}|(?m:^[ \\t]+)?\\{%\\s*(.*?)\\s*%}\\n?", Pattern.DOTALL);
    private final Map<String, List<Node>> compiled = new HashMap<>();

    Templates(Map<String, String> sources) {
        sources.forEach((name, text) -> {
            if (!name.startsWith("_")) {
                compiled.put(name, new Compiler(text, name.endsWith(".html")).nodes(null));
            }
        });
    }

    /** Appends one template's text. */
    void render(String name, Bill bill, AvroOut out) {
        write(compiled.get(name), bill, null, out);
    }

    private static void write(List<Node> nodes, Bill bill, Bill line, AvroOut out) {
        for (Node node : nodes) {
            node.write(bill, line, out);
        }
    }

    private static final class Compiler {
        private final String text;
        private final boolean escape;
        private final Matcher tags;
        private int at;
        private String ended;

        Compiler(String text, boolean escape) {
            // a line end at the very end is not part of a template
            this.text = text.endsWith("\n") ? text.substring(0, text.length() - 1) : text;
            this.escape = escape;
            tags = TAG.matcher(this.text);
        }

        /** Everything up to the tag that ends it, which {@link #ended} then holds. */
        List<Node> nodes(String until) {
            List<Node> nodes = new ArrayList<>();
            while (tags.find(at)) {
                literal(nodes, text.substring(at, tags.start()));
                at = tags.end();
                if (tags.group(1) != null) {
                    nodes.add(value(tags.group(1)));
                    continue;
                }
                String tag = tags.group(2);
                if (tag.startsWith("if ")) {
                    Hole condition = hole(tag.substring(3));
                    List<Node> then = nodes("endif");
                    List<Node> otherwise = ended.equals("else") ? nodes("endif") : List.of();
                    nodes.add((bill, line, out) ->
                        write(condition.of(bill, line).length > 0 ? then : otherwise, bill, line, out));
                } else if (tag.equals("for line in lines")) {
                    List<Node> each = nodes("endfor");
                    nodes.add((bill, line, out) -> bill.lines().forEach(one -> write(each, bill, one, out)));
                } else if (tag.equals(until) || tag.equals("else") && "endif".equals(until)) {
                    ended = tag;
                    return nodes;
                } else {
                    throw new IllegalArgumentException("not a tag that is known here: " + tag);
                }
            }
            literal(nodes, text.substring(at));
            at = text.length();
            return nodes;
        }

        private static void literal(List<Node> nodes, String text) {
            if (!text.isEmpty()) {
                byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
                nodes.add((bill, line, out) -> out.raw(bytes));
            }
        }

        private Node value(String expression) {
            int or = expression.indexOf(" or \"");
            Hole hole = hole(or < 0 ? expression : expression.substring(0, or));
            byte[] instead = or < 0 ? new byte[0]
                : expression.substring(or + 5, expression.length() - 1).getBytes(StandardCharsets.UTF_8);
            return (bill, line, out) -> {
                byte[] value = hole.of(bill, line);
                value = value.length == 0 ? instead : value;
                if (escape) {
                    escaped(value, out);
                } else {
                    out.raw(value);
                }
            };
        }

        private interface Hole {
            byte[] of(Bill bill, Bill line);
        }

        private static Hole hole(String name) {
            if (name.startsWith("line.")) {
                String field = name.substring(5);
                return (bill, line) -> line.value(field);
            }
            return (bill, line) -> bill.value(name);
        }
    }

    private static void escaped(byte[] value, AvroOut out) {
        int from = 0;
        for (int i = 0; i < value.length; i++) {
            String entity = switch (value[i]) {
                case '<' -> "&lt;";
                case '>' -> "&gt;";
                case '&' -> "&amp;";
                case '"' -> "&quot;";
                case '\'' -> "&#x27;";
                case '/' -> "&#x2f;";
                default -> null;
            };
            if (entity != null) {
                out.raw(value, from, i - from).raw(entity.getBytes(StandardCharsets.US_ASCII));
                from = i + 1;
            }
        }
        out.raw(value, from, value.length - from);
    }
}
