from tests.browser import install

install()
