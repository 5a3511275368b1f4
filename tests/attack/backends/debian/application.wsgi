from flask_app import app as application
