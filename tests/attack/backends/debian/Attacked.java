import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import jakarta.servlet.http.Cookie;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;

/** Tomcat with a servlet for each operation, mapped as a deployment descriptor would. */
public final class Attacked {
    private static final Path EXECUTIONS = Path.of(System.getenv("EXECUTIONS"));

    private static final class Operation extends HttpServlet {
        private final String name;
        private final String methods;

        Operation(String name, String methods) {
            this.name = name;
            this.methods = methods;
        }

        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
            request.getInputStream().readAllBytes();
            String method = request.getMethod().equals("HEAD") ? "GET" : request.getMethod();
            boolean executes = !methods.isEmpty() && List.of(methods.split(" ")).contains(method);
            String rest = request.getPathInfo() == null ? "" : request.getPathInfo();
            List<String> cookies = new ArrayList<>();
            if (request.getCookies() != null) {
                for (Cookie cookie : request.getCookies()) {
                    if (cookie.getName().equals("access_token")) cookies.add(cookie.getValue());
                }
            }
            String[] params = request.getParameterValues("access_token");
            String line = "{\"attempt\":" + text(request.getHeader("x-attempt") == null ? "" : request.getHeader("x-attempt"))
                + ",\"operation\":" + text(executes ? name : "none")
                + ",\"path\":" + (executes ? text(request.getServletPath() + rest) : "null")
                + ",\"method\":" + text(method) + ",\"host\":" + text(request.getServerName())
                + ",\"virtual_host\":" + list(headers(request, "x-virtual-host"))
                + ",\"user\":" + list(headers(request, "x-user-id")) + ",\"groups\":" + list(headers(request, "x-groups"))
                + ",\"authorization\":" + list(headers(request, "authorization"))
                + ",\"param\":" + list(params == null ? List.of() : List.of(params)) + ",\"cookie\":" + list(cookies) + "}\n";
            Files.writeString(EXECUTIONS, line, StandardCharsets.UTF_8, StandardOpenOption.APPEND);
            response.getWriter().write(line);
        }
    }

    private static List<String> headers(HttpServletRequest request, String name) {
        return Collections.list(request.getHeaders(name));
    }

    private static String list(List<String> texts) {
        return "[" + String.join(",", texts.stream().map(Attacked::text).toList()) + "]";
    }

    private static String text(String value) {
        StringBuilder text = new StringBuilder("\"");
        for (char letter : value.toCharArray()) {
            boolean plain = letter >= ' ' && letter < 127 && letter != '"' && letter != '\\';
            text.append(plain ? String.valueOf(letter) : String.format("\\u%04x", (int) letter));
        }
        return text.append('"').toString();
    }

    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(System.getenv("FOLDER"));
        tomcat.setPort(Integer.parseInt(arguments[0]));

        tomcat.getConnector().setProperty("address", "127.0.0.1");

        Context context = tomcat.addContext("", new File(System.getenv("FOLDER")).getAbsolutePath());
        String[][] operations = {
            {"admin", "GET POST", "/admin"}, {"users", "GET", "/admin/users"}, {"internal", "GET", "/internal"},
            {"optional", "GET POST", "/optional"}, {"account", "GET POST DELETE", "/accounts/*"}, {"organization", "GET", "/orgs/*"},
            {"public", "GET", "/public/*"}, {"assets", "GET", "/assets/*"}, {"none", "", "/"},
        };
        for (String[] operation : operations) {
            Tomcat.addServlet(context, operation[0], new Operation(operation[0], operation[1]));
            context.addServletMappingDecoded(operation[2], operation[0]);
        }
        tomcat.start();
        tomcat.getServer().await();
    }
}
